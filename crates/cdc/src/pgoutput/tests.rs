//! What is written as the protocol says is read, and nothing else breaks the decoder.

use bytes::{BufMut as _, BytesMut};
use proptest::prelude::*;

use super::*;

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

fn put_tuple(out: &mut BytesMut, tuple: &[Value]) {
    out.put_u16(u16::try_from(tuple.len()).unwrap());
    for value in tuple {
        let (tag, bytes) = match value {
            Value::Null => (b'n', None),
            Value::Unchanged => (b'u', None),
            Value::Text(bytes) => (b't', Some(bytes)),
            Value::Binary(bytes) => (b'b', Some(bytes)),
        };
        out.put_u8(tag);
        if let Some(bytes) = bytes {
            out.put_u32(u32::try_from(bytes.len()).unwrap());
            out.put_slice(bytes);
        }
    }
}

/// Writes a message as the protocol's page describes it.
fn encode(change: &Change) -> Bytes {
    let mut out = BytesMut::new();
    match change {
        Change::Relation(relation) => {
            out.put_u8(b'R');
            out.put_u32(relation.id);
            put_text(&mut out, &relation.schema);
            put_text(&mut out, &relation.name);
            out.put_u8(b'd');
            out.put_u16(u16::try_from(relation.columns.len()).unwrap());
            for column in &relation.columns {
                out.put_u8(column.is_key.into());
                put_text(&mut out, &column.name);
                out.put_u32(column.type_oid);
                out.put_u32(u32::MAX);
            }
        }
        Change::Insert { relation, new } => {
            out.put_u8(b'I');
            out.put_u32(*relation);
            out.put_u8(b'N');
            put_tuple(&mut out, new);
        }
        Change::Update { relation, old, new } => {
            out.put_u8(b'U');
            out.put_u32(*relation);
            if let Some(old) = old {
                out.put_u8(b'K');
                put_tuple(&mut out, old);
            }
            out.put_u8(b'N');
            put_tuple(&mut out, new);
        }
        Change::Delete { relation, old } => {
            out.put_u8(b'D');
            out.put_u32(*relation);
            out.put_u8(b'O');
            put_tuple(&mut out, old);
        }
        Change::Truncate { relations } => {
            out.put_u8(b'T');
            out.put_u32(u32::try_from(relations.len()).unwrap());
            out.put_u8(0);
            relations.iter().for_each(|relation| out.put_u32(*relation));
        }
        Change::Other => out.put_u8(b'Y'),
    }
    out.freeze()
}

fn tuples() -> impl Strategy<Value = Tuple> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let value = prop_oneof![Just(Value::Null), Just(Value::Unchanged), bytes().prop_map(Value::Text), bytes().prop_map(Value::Binary)];
    prop::collection::vec(value, 0..9)
}

fn changes() -> impl Strategy<Value = Change> {
    let column = ("[a-zä]{0,9}", any::<u32>(), any::<bool>()).prop_map(|(name, type_oid, is_key)| Column { name, type_oid, is_key });
    let relation = (any::<u32>(), "[a-z]{0,9}", "\\PC{0,9}", prop::collection::vec(column, 0..9));
    prop_oneof![
        relation.prop_map(|(id, schema, name, columns)| Change::Relation(Relation { id, schema, name, columns })),
        (any::<u32>(), tuples()).prop_map(|(relation, new)| Change::Insert { relation, new }),
        (any::<u32>(), prop::option::of(tuples()), tuples()).prop_map(|(relation, old, new)| Change::Update { relation, old, new }),
        (any::<u32>(), tuples()).prop_map(|(relation, old)| Change::Delete { relation, old }),
        prop::collection::vec(any::<u32>(), 0..9).prop_map(|relations| Change::Truncate { relations }),
        Just(Change::Other),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(change in changes()) {
        prop_assert_eq!(decode(encode(&change)), Ok(change));
    }

    #[test]
    fn a_message_cut_short_is_refused(change in changes(), keep in 0.0..1.0_f64) {
        let whole = encode(&change);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a length far below any limit")]
        let cut = whole.slice(..(whole.len() as f64 * keep) as usize);
        prop_assert!(decode(cut).is_err());
    }

    #[test]
    fn no_bytes_break_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200), tag in "[RIUDTYO]") {
        let _ = decode(Bytes::from(bytes.clone()));
        let _ = decode(Bytes::from([tag.as_bytes(), &bytes].concat()));
    }
}

#[test]
fn a_count_that_promises_more_than_there_is_takes_no_memory() {
    let truncate = [b'T', 0xff, 0xff, 0xff, 0xff, 0];
    assert_eq!(decode(Bytes::copy_from_slice(&truncate)), Err(Malformed::Short));
    let value = [b'I', 0, 0, 0, 1, b'N', 0, 1, b'b', 0xff, 0xff, 0xff, 0xff];
    assert_eq!(decode(Bytes::copy_from_slice(&value)), Err(Malformed::Short));
}
