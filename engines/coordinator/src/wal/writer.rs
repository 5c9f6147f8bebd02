//! The thread that writes: takes all that waits, writes it as one batch, syncs once, and then tells everybody.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use bytes::{Bytes, BytesMut};

use super::{
    Disk, DiskFile, Error, Item,
    record::{HEADER, encode, padded, size},
    recover::{Recovered, Segment, name, recover},
    vigil::Vigil,
};

/// With more items than this in a batch the machine is busy anyway, and nobody has to keep it awake.
const FEW: usize = 8;

/// Hears whether what was asked is durable.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Something to write.
pub struct Op {
    /// What, in this order.
    pub items: Vec<Item>,
    /// Who wants to know. Without anybody it is written with the next batch that somebody waits for.
    pub done: Option<Done>,
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Op").field("items", &self.items).finish_non_exhaustive()
    }
}

/// How the log is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Size of a segment. A batch that is larger gets a segment of its own.
    pub segment: usize,
    /// A batch takes no further items beyond this size.
    pub batch: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment: 64 << 20, batch: 4 << 20 }
    }
}

/// A log that is open for writing. Dropping it writes what waits and ends the thread.
#[derive(Debug)]
pub struct Wal(Way);

/// How it is written.
enum Way {
    Aside {
        ops: Option<Sender<Op>>,
        thread: Option<JoinHandle<()>>,
    },
    /// By whoever calls: in the simulation there is nobody else. Dropping it is a loss of power.
    InPlace(Mutex<Box<dyn FnMut(Op) + Send>>),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Aside { .. }) { "Aside" } else { "InPlace" })
    }
}

impl Wal {
    /// Reads the log, begins a new segment and starts the thread.
    ///
    /// # Errors
    /// When the log is damaged or the disk refuses.
    pub fn open<D: Disk>(mut disk: D, options: Options) -> Result<(Self, Recovered), Error> {
        let recovered = recover(&mut disk)?;
        let is_aside = !crate::is_simulated();
        let vigil = is_aside.then(Vigil::start).transpose().map_err(Error::disk("start a thread"))?;
        let mut writer = Writer::<D>::new(disk, options, &recovered, vigil);
        writer.begin_segment(0)?;
        if !is_aside {
            return Ok((Self(Way::InPlace(Mutex::new(Box::new(move |op| writer.take(vec![op]))))), recovered));
        }
        let (ops, waiting) = channel();
        let thread = std::thread::Builder::new().name("wal".to_owned()).spawn(move || writer.run(&waiting));
        let thread = thread.map_err(Error::disk("start the thread"))?;
        Ok((Self(Way::Aside { ops: Some(ops), thread: Some(thread) }), recovered))
    }

    /// Hands something to the thread.
    pub fn write(&self, op: Op) {
        let ops = match &self.0 {
            Way::Aside { ops: Some(ops), .. } => ops,
            Way::Aside { ops: None, .. } => return,
            Way::InPlace(write) => return write.lock().unwrap_or_else(PoisonError::into_inner)(op),
        };
        if let Err(refused) = ops.send(op)
            && let Some(done) = refused.0.done
        {
            done(Err(io::Error::other("the log is closed")));
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        let Way::Aside { ops, thread } = &mut self.0 else { return };
        *ops = None;
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer<D: Disk> {
    disk: D,
    options: Options,
    segments: Vec<Segment>,
    file: Option<D::File>,
    capacity: usize,
    offset: usize,
    sequence: u64,
    // What a new segment opens with.
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
    buffer: BytesMut,
    vigil: Option<Vigil>,
    /// What nobody waits for goes with the next batch.
    idle: Vec<Item>,
    /// Why nothing is written any more.
    broken: Option<String>,
}

impl<D: Disk> Writer<D> {
    fn new(disk: D, options: Options, recovered: &Recovered, vigil: Option<Vigil>) -> Self {
        Self {
            disk,
            options,
            segments: recovered.segments.clone(),
            file: None,
            capacity: 0,
            offset: 0,
            sequence: recovered.sequence,
            vote: recovered.vote.clone(),
            committed: recovered.committed.clone(),
            purged: recovered.purged.clone().map(|bytes| (recovered.first.saturating_sub(1), bytes)),
            buffer: BytesMut::new(),
            vigil,
            idle: Vec::new(),
            broken: None,
        }
    }

    fn run(mut self, waiting: &Receiver<Op>) {
        while let Ok(first) = waiting.recv() {
            let mut ops = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(op) = next.take() {
                bytes += op.items.iter().map(size).sum::<usize>();
                ops.push(op);
                if bytes < self.options.batch {
                    next = waiting.try_recv().ok();
                }
            }
            self.take(ops);
        }
        let idle = std::mem::take(&mut self.idle);
        if self.broken.is_none() && !idle.is_empty() {
            let _ = self.commit(idle);
        }
    }

    /// Writes what came together, and tells everybody.
    fn take(&mut self, ops: Vec<Op>) {
        let (mut items, mut waiters) = (std::mem::take(&mut self.idle), Vec::new());
        for op in ops {
            items.extend(op.items);
            waiters.extend(op.done);
        }
        if waiters.is_empty() && self.broken.is_none() && items.len() < 1024 {
            self.idle = items;
            return;
        }
        // Somebody may only want to know that all before is durable, which it is.
        if self.broken.is_none()
            && !items.is_empty()
            && let Err(error) = self.commit(items)
        {
            tracing::error!(error = %error, cause = ?std::error::Error::source(&error).map(ToString::to_string), "the log cannot be written");
            self.broken = Some(error.to_string());
        }
        for done in waiters {
            done(self.broken.as_ref().map_or(Ok(()), |reason| Err(io::Error::other(reason.clone()))));
        }
    }

    fn commit(&mut self, items: Vec<Item>) -> Result<(), Error> {
        let length = items.iter().map(size).sum::<usize>();
        if self.offset + padded(HEADER + length) > self.capacity {
            self.begin_segment(length)?;
        }
        self.write(&items)?;
        let mut purged = false;
        for item in items {
            match item {
                Item::Entry(index, _) => {
                    if let Some(segment) = self.segments.last_mut() {
                        segment.last_entry = segment.last_entry.max(index);
                    }
                }
                Item::Vote(bytes) => self.vote = Some(bytes),
                Item::Committed(bytes) => self.committed = Some(bytes),
                Item::Truncate(_) => {}
                Item::Purge(index, bytes) => {
                    self.purged = Some((index, bytes));
                    purged = true;
                }
            }
        }
        if purged { self.drop_segments() } else { Ok(()) }
    }

    fn write(&mut self, items: &[Item]) -> Result<(), Error> {
        let Some(segment) = self.segments.last() else { return Ok(()) };
        let Some(file) = &mut self.file else { return Ok(()) };
        let sequence = self.sequence + 1;
        encode(items.iter(), sequence, segment.first, self.offset as u64, &mut self.buffer);
        file.write_at(self.offset as u64, &self.buffer).map_err(Error::disk("write a batch"))?;
        let synced = match &self.vigil {
            Some(vigil) if items.len() <= FEW => vigil.during(|| file.sync()),
            _ => file.sync(),
        };
        synced.map_err(Error::disk("sync a batch"))?;
        self.sequence = sequence;
        self.offset += self.buffer.len();
        Ok(())
    }

    /// Ends the segment where it is and begins one with room for `length` bytes of items.
    fn begin_segment(&mut self, length: usize) -> Result<(), Error> {
        if let Some(last) = self.segments.last().filter(|_| self.file.is_some()) {
            self.file = None;
            self.disk.cut(&name(last.first), self.offset as u64).map_err(Error::disk("end a segment"))?;
        }
        let mut kept = Vec::new();
        kept.extend(self.purged.clone().map(|(index, bytes)| Item::Purge(index, bytes)));
        kept.extend(self.vote.clone().map(Item::Vote));
        kept.extend(self.committed.clone().map(Item::Committed));
        let first = self.sequence + 1;
        let room = padded(HEADER + kept.iter().map(size).sum::<usize>()) + padded(HEADER + length);
        self.capacity = self.options.segment.max(room);
        self.file = Some(self.disk.create(&name(first), self.capacity as u64).map_err(Error::disk("begin a segment"))?);
        self.segments.push(Segment { first, last_entry: 0 });
        self.offset = 0;
        self.write(&kept)
    }

    /// Removes the oldest segments as long as nothing in them is needed.
    fn drop_segments(&mut self) -> Result<(), Error> {
        let Some((purged, _)) = self.purged else { return Ok(()) };
        while self.segments.len() > 1 && self.segments[0].last_entry <= purged {
            let segment = self.segments.remove(0);
            self.disk.remove(&name(segment.first)).map_err(Error::disk("remove a segment"))?;
        }
        Ok(())
    }
}
