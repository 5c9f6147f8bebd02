//! How Raft's messages, entries and votes are encoded: postcard, which is compact and has a specification.

use std::io;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::wire::coordinator::v1::Frame;

/// A value that cannot be encoded is a fault of this program.
pub(crate) fn encode(value: &impl Serialize) -> Bytes {
    postcard::to_stdvec(value).expect("Raft's messages have an encoding").into()
}

/// The same, piece by piece.
///
/// # Errors
/// When `out` takes no more.
pub(crate) fn encode_into(value: &impl Serialize, out: &mut dyn io::Write) -> io::Result<()> {
    postcard::to_io(value, out).map(drop).map_err(io::Error::other)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

pub(crate) fn frame(value: &impl Serialize) -> Frame {
    Frame { body: encode(value) }
}
