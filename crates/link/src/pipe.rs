//! One direction of one connection: what was handed over and has not come out yet. Pure.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::wire::{PACKET, Wire};

/// What comes out at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The connection is made, at the other end too.
    Opened,
    /// Bytes.
    Data(Bytes),
    /// No more bytes will come (FIN).
    End,
    /// The connection broke (RST).
    Reset,
}

impl What {
    fn len(&self) -> usize {
        if let Self::Data(bytes) = self { bytes.len() } else { 0 }
    }
}

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing is under way.
    Nothing,
    /// Nothing comes out before the direction is healed.
    Cut,
    /// The first piece comes out then.
    At(Duration),
}

#[derive(Debug)]
struct Piece {
    due: Duration,
    what: What,
}

/// Pieces in the order in which they were handed over, which is that in which they come out.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pieces: VecDeque<Piece>,
    /// Bytes of all pieces.
    held: usize,
    /// The version of the wire that the pieces know of.
    seen: u64,
    was_cut: bool,
}

impl Pipe {
    /// Bytes that are under way.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Takes what is handed over at `now`.
    pub(crate) fn push(&mut self, now: Duration, what: What, wire: &mut Wire, dice: &mut impl FnMut() -> f64) {
        self.held += what.len();
        match what {
            What::Data(bytes) => self.push_bytes(now, bytes, wire, dice),
            // A packet of its own, with nothing in it to speak of.
            other => {
                let due = wire.carry(now, 0) + wire.jitter(dice) + wire.stall(dice);
                self.append(due, other);
            }
        }
    }

    /// Cuts the bytes before each packet that is lost: those in front of it are not held up.
    fn push_bytes(&mut self, now: Duration, mut rest: Bytes, wire: &mut Wire, dice: &mut impl FnMut() -> f64) {
        let jitter = wire.jitter(dice);
        let mut stall = wire.stall(dice);
        while !rest.is_empty() {
            let mut size = PACKET.min(rest.len());
            let mut next = Duration::ZERO;
            if wire.shape().loss.part() <= 0.0 {
                size = rest.len();
            }
            while size < rest.len() {
                next = wire.stall(dice);
                if next > Duration::ZERO {
                    break;
                }
                size = (size + PACKET).min(rest.len());
            }
            let due = wire.carry(now, size) + jitter + stall;
            self.append(due, What::Data(rest.split_to(size)));
            stall = next;
        }
    }

    fn append(&mut self, due: Duration, what: What) {
        let before = self.pieces.back().map_or(Duration::ZERO, |last| last.due);
        self.pieces.push_back(Piece { due: due.max(before), what });
    }

    /// Learns of what was set since: pieces under way travel again from `now`, if that is sooner. What was cut off travels again in any
    /// case: it is not there yet.
    pub(crate) fn learn(&mut self, now: Duration, wire: &mut Wire) {
        if std::mem::replace(&mut self.seen, wire.version()) == wire.version() {
            return;
        }
        let is_cut = wire.shape().partitioned;
        let was_cut = std::mem::replace(&mut self.was_cut, is_cut);
        if is_cut {
            return;
        }
        for piece in &mut self.pieces {
            let again = wire.carry(now, piece.what.len());
            piece.due = if was_cut { again } else { piece.due.min(again) };
        }
    }

    /// What is next, and when.
    pub(crate) fn next(&self, wire: &Wire) -> Next {
        match self.pieces.front() {
            None => Next::Nothing,
            Some(_) if wire.shape().partitioned => Next::Cut,
            Some(piece) => Next::At(piece.due),
        }
    }

    /// What comes out next; whoever takes it out says so with [`Pipe::taken`] or [`Pipe::took`].
    pub(crate) fn first(&self) -> Option<&What> {
        self.pieces.front().map(|piece| &piece.what)
    }

    /// The first piece, which is not bytes, has come out.
    pub(crate) fn taken(&mut self) {
        if let Some(piece) = self.pieces.pop_front() {
            self.held -= piece.what.len();
        }
    }

    /// So many bytes of the first piece have come out.
    pub(crate) fn took(&mut self, bytes: usize) {
        let Some(Piece { what: What::Data(rest), .. }) = self.pieces.front_mut() else { return };
        let bytes = bytes.min(rest.len());
        drop(rest.split_to(bytes));
        let is_empty = rest.is_empty();
        self.held -= bytes;
        if is_empty {
            self.pieces.pop_front();
        }
    }

    /// Forgets everything: nobody is left to take it.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.held = 0;
    }
}

#[cfg(test)]
mod tests;
