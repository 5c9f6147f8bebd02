//! The messages of the plug-in `pgoutput`, protocol version 1: PostgreSQL documentation, "Logical Replication Message Formats".
//!
//! Bytes from outside: whatever they are, decoding ends with a message or with [`Malformed`], and takes no more memory than they do.

use bytes::{Buf as _, Bytes};

#[cfg(test)]
mod tests;

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end too early.
    #[error("the message is too short")]
    Short,
    /// A name is not UTF-8, or a string has no end.
    #[error("a string is not UTF-8 or has no end")]
    Text,
    /// A tag that the protocol does not have in that place.
    #[error("unknown tag {0:#04x}")]
    Tag(u8),
}

impl From<bytes::TryGetError> for Malformed {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Short
    }
}

/// A column of a published table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// OID of its type in `pg_type`.
    pub type_oid: u32,
    /// Whether it belongs to the replica identity.
    pub is_key: bool,
}

/// A published table. Sent before its first row, and again when it has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// OID of the table, by which rows name it.
    pub id: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its published columns, in the order of the values.
    pub columns: Vec<Column>,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// A long value that the change did not touch, and that is therefore not sent.
    Unchanged,
    /// In PostgreSQL's text form.
    Text(Bytes),
    /// In PostgreSQL's binary form.
    Binary(Bytes),
}

/// A row: as many values as its relation has columns.
pub type Tuple = Vec<Value>;

/// One message. Begin, commit and logical messages are taken out before this decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// What follows may be about this table.
    Relation(Relation),
    /// A new row.
    Insert {
        /// Its table.
        relation: u32,
        /// The row.
        new: Tuple,
    },
    /// A changed row.
    Update {
        /// Its table.
        relation: u32,
        /// What it was, or its key: only with a replica identity that asks for it.
        old: Option<Tuple>,
        /// What it is.
        new: Tuple,
    },
    /// A deleted row.
    Delete {
        /// Its table.
        relation: u32,
        /// What it was, or its key with all else NULL.
        old: Tuple,
    },
    /// Emptied tables.
    Truncate {
        /// Which.
        relations: Vec<u32>,
    },
    /// A type or an origin: nothing that changes a row.
    Other,
}

/// Decodes one message.
///
/// # Errors
/// [`Malformed`].
pub fn decode(mut bytes: Bytes) -> Result<Change, Malformed> {
    let bytes = &mut bytes;
    match bytes.try_get_u8()? {
        b'R' => relation(bytes).map(Change::Relation),
        b'I' => {
            let relation = bytes.try_get_u32()?;
            match bytes.try_get_u8()? {
                b'N' => Ok(Change::Insert { relation, new: tuple(bytes)? }),
                tag => Err(Malformed::Tag(tag)),
            }
        }
        b'U' => {
            let relation = bytes.try_get_u32()?;
            match bytes.try_get_u8()? {
                b'N' => Ok(Change::Update { relation, old: None, new: tuple(bytes)? }),
                b'K' | b'O' => {
                    let old = Some(tuple(bytes)?);
                    match bytes.try_get_u8()? {
                        b'N' => Ok(Change::Update { relation, old, new: tuple(bytes)? }),
                        tag => Err(Malformed::Tag(tag)),
                    }
                }
                tag => Err(Malformed::Tag(tag)),
            }
        }
        b'D' => {
            let relation = bytes.try_get_u32()?;
            match bytes.try_get_u8()? {
                b'K' | b'O' => Ok(Change::Delete { relation, old: tuple(bytes)? }),
                tag => Err(Malformed::Tag(tag)),
            }
        }
        b'T' => {
            let count = bytes.try_get_u32()?;
            let _options = bytes.try_get_u8()?;
            let relations = (0..count).map(|_| bytes.try_get_u32()).collect::<Result<_, _>>()?;
            Ok(Change::Truncate { relations })
        }
        b'Y' | b'O' => Ok(Change::Other),
        tag => Err(Malformed::Tag(tag)),
    }
}

fn relation(bytes: &mut Bytes) -> Result<Relation, Malformed> {
    let id = bytes.try_get_u32()?;
    let schema = text(bytes)?;
    let name = text(bytes)?;
    let _replica_identity = bytes.try_get_u8()?;
    let columns = (0..bytes.try_get_u16()?)
        .map(|_| {
            let is_key = bytes.try_get_u8()? & 1 == 1;
            let name = text(bytes)?;
            let type_oid = bytes.try_get_u32()?;
            let _modifier = bytes.try_get_u32()?;
            Ok(Column { name, type_oid, is_key })
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(Relation { id, schema, name, columns })
}

fn tuple(bytes: &mut Bytes) -> Result<Tuple, Malformed> {
    (0..bytes.try_get_u16()?)
        .map(|_| match bytes.try_get_u8()? {
            b'n' => Ok(Value::Null),
            b'u' => Ok(Value::Unchanged),
            b't' => value(bytes).map(Value::Text),
            b'b' => value(bytes).map(Value::Binary),
            tag => Err(Malformed::Tag(tag)),
        })
        .collect()
}

fn value(bytes: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = usize::try_from(bytes.try_get_u32()?).map_err(|_| Malformed::Short)?;
    if length > bytes.len() { Err(Malformed::Short) } else { Ok(bytes.split_to(length)) }
}

fn text(bytes: &mut Bytes) -> Result<String, Malformed> {
    let length = bytes.iter().position(|byte| *byte == 0).ok_or(Malformed::Text)?;
    let text = String::from_utf8(bytes.split_to(length).into()).map_err(|_| Malformed::Text)?;
    bytes.advance(1);
    Ok(text)
}
