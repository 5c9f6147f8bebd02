//! The log on a disk that tears writes, fills up and flips bits.

use std::{io, sync::mpsc::channel};

use bytes::Bytes;
use proptest::prelude::*;

use super::{flaky::Flaky, writer::Done, *};

const SMALL: Options = Options { segment: 8 << 10, batch: 4 << 10 };

fn entry(index: u64, length: usize) -> Item {
    Item::Entry(index, Bytes::from(vec![u8::try_from(index % 251).unwrap() | 1; length]))
}

/// Writes and waits.
fn write(wal: &Wal, items: Vec<Item>) -> io::Result<()> {
    let (sender, done) = channel();
    let done_by: Done = Box::new(move |result| sender.send(result).unwrap());
    wal.write(Op { items, done: Some(done_by) });
    done.recv().unwrap()
}

/// A log of `count` entries of `length` bytes, one batch each.
fn written(count: u64, length: usize) -> Flaky {
    let disk = Flaky::default();
    let (wal, _) = Wal::open(disk.clone(), SMALL).unwrap();
    for index in 0..count {
        write(&wal, vec![entry(index, length)]).unwrap();
    }
    disk
}

#[test]
fn what_was_written_is_read_back() {
    let disk = written(30, 700);
    let (wal, recovered) = Wal::open(disk.clone(), SMALL).unwrap();
    assert_eq!((recovered.first, recovered.entries.len(), recovered.torn), (0, 30, 0));
    let (vote, purged) = (Bytes::from_static(b"vote"), Bytes::from_static(b"twenty"));
    write(&wal, vec![Item::Vote(vote.clone()), Item::Truncate(25)]).unwrap();
    write(&wal, vec![Item::Purge(20, purged.clone())]).unwrap();
    write(&wal, vec![entry(25, 9)]).unwrap();
    drop(wal);
    let (_, recovered) = Wal::open(disk.clone(), SMALL).unwrap();
    assert_eq!((recovered.first, recovered.entries.len()), (21, 5));
    assert_eq!(recovered.entries[4].len(), 9, "what was taken back does not come again");
    assert_eq!((recovered.vote, recovered.purged), (Some(vote), Some(purged)), "they outlive the segment they were written in");
    assert!(disk.with(|platter| platter.files.len()) < 6, "segments that nobody needs are removed");
}

#[test]
fn entries_in_removed_segments_are_not_missed_and_others_are() {
    let disk = written(20, 700);
    let (wal, _) = Wal::open(disk.clone(), SMALL).unwrap();
    write(&wal, vec![Item::Purge(3, Bytes::from_static(b"three"))]).unwrap();
    drop(wal);
    let (wal, _) = Wal::open(disk.clone(), SMALL).unwrap();
    for index in 20..40 {
        write(&wal, vec![entry(index, 700)]).unwrap();
    }
    write(&wal, vec![Item::Purge(30, Bytes::from_static(b"thirty"))]).unwrap();
    drop(wal);
    let (_, recovered) = Wal::open(disk.clone(), SMALL).unwrap();
    assert_eq!((recovered.first, recovered.entries.len()), (31, 9));
    let mut damaged = written(30, 700);
    let first = damaged.list().unwrap().remove(0);
    damaged.remove(&first).unwrap();
    assert!(matches!(recover::recover(&mut damaged), Err(Error::Damaged { .. })), "nothing was purged");
}

#[test]
fn any_flipped_bit_is_refused_or_changes_nothing() {
    let disk = written(4, 600);
    let (name, whole) = disk.with(|platter| platter.files.iter().next().map(|(name, bytes)| (name.clone(), bytes.clone())).unwrap());
    let expected = recover::recover(&mut disk.crash(|| true)).unwrap();
    for bit in (0..whole.len() * 8).step_by(7) {
        let mut flipped = disk.crash(|| true);
        flipped.with(|platter| platter.files.get_mut(&name).unwrap()[bit / 8] ^= 1 << (bit % 8));
        match recover::recover(&mut flipped) {
            Err(Error::Damaged { .. }) => {}
            Ok(recovered) => assert_eq!(recovered.entries, expected.entries, "bit {bit} changed what was acknowledged"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_lost_segment_is_refused() {
    let disk = written(60, 700);
    let names = disk.list().unwrap();
    assert!(names.len() > 3);
    for name in &names[1..names.len() - 1] {
        let mut damaged = disk.crash(|| true);
        damaged.remove(name).unwrap();
        assert!(matches!(recover::recover(&mut damaged), Err(Error::Damaged { .. })), "without {name}");
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_loses_nothing() {
    let disk = written(5, 700);
    let (wal, _) = Wal::open(disk.clone(), SMALL).unwrap();
    disk.with(|platter| platter.space = Some(100));
    let mut acknowledged = 5;
    while write(&wal, vec![entry(acknowledged, 700)]).is_ok() {
        acknowledged += 1;
    }
    disk.with(|platter| platter.space = None);
    assert!(write(&wal, vec![Item::Vote(Bytes::from_static(b"x"))]).is_err(), "after one failure nothing is written any more");
    drop(wal);
    let recovered = recover::recover(&mut disk.crash(|| true)).unwrap();
    assert_eq!(recovered.entries.len() as u64, acknowledged);
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let disk = written(3, 100);
    let (wal, _) = Wal::open(disk.clone(), SMALL).unwrap();
    disk.with(|platter| platter.broken = true);
    assert!(write(&wal, vec![entry(3, 100)]).is_err());
    disk.with(|platter| platter.broken = false);
    assert!(write(&wal, vec![entry(3, 100)]).is_err());
}

proptest! {
    #[test]
    fn after_a_crash_exactly_what_was_acknowledged_is_there_or_a_little_more(
        lengths in prop::collection::vec(1usize..2500, 1..20),
        unsynced in 1usize..3,
        seed in any::<u64>(),
    ) {
        let disk = Flaky::default();
        let (wal, _) = Wal::open(disk.clone(), SMALL).unwrap();
        let mut index = 0;
        for length in &lengths {
            write(&wal, vec![entry(index, *length)]).unwrap();
            index += 1;
        }
        // The disk stops, with one batch on its way.
        disk.with(|platter| platter.broken = true);
        let items = (0..unsynced as u64).map(|more| entry(index + more, 900)).collect();
        write(&wal, items).unwrap_err();
        let mut state = seed;
        let crashed = disk.crash(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 63 == 0
        });
        let (_, recovered) = Wal::open(crashed.clone(), SMALL).expect("a torn end is no damage");
        let count = recovered.entries.len();
        prop_assert!(count == lengths.len() || count == lengths.len() + unsynced, "{} of {}", count, lengths.len());
        for (entry, length) in recovered.entries.iter().zip(&lengths) {
            prop_assert_eq!(entry.len(), *length);
        }
        // And it goes on from there.
        let (wal, _) = Wal::open(crashed.clone(), SMALL).unwrap();
        write(&wal, vec![entry(count as u64, 10)]).unwrap();
        drop(wal);
        prop_assert_eq!(Wal::open(crashed, SMALL).unwrap().1.entries.len(), count + 1);
    }
}
