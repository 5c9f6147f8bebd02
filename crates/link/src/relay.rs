//! The shell: listeners, sockets and timers around the pipes.
//!
//! ```text
//! caller connects ─> (the way there) ─> connect to the target ─> (the way back) ─> the caller's bytes are read from here on
//! ```
//! The kernel accepts a caller at once, so what a real handshake would keep waiting is the caller's first bytes instead.

mod connection;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::connection::Connection;
use crate::{
    layer::{Flow, Kept, Layer, Unknown, Way},
    shape::{Change, Shape},
    table::{Link, Table},
};

/// Most connections of one link. Whoever comes then is reset at once.
const MOST_CONNECTIONS: usize = 512;
/// After an `accept` that failed, for want of files for example.
const BREATH: Duration = Duration::from_millis(50);

/// All links of one process, and what they are like now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Links(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    layer: Mutex<Layer>,
    version: watch::Sender<u64>,
    begun: Instant,
    /// Bytes under way in all connections together.
    held: AtomicUsize,
}

/// What one link carried since it was started.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Connections now.
    pub connections: AtomicU64,
    /// Connections that were made.
    pub opened: AtomicU64,
    /// Connections that were refused: too many, or the target took none.
    pub refused: AtomicU64,
    /// From the caller to the target: bytes that came out.
    pub there: AtomicU64,
    /// From the target to the caller.
    pub back: AtomicU64,
    /// From the caller to the target: bytes under way.
    pub held_there: AtomicU64,
    /// From the target to the caller.
    pub held_back: AtomicU64,
}

impl Links {
    /// These links, all of which are of the shape `normal`, but for what was set and `kept`.
    #[must_use]
    pub fn new(table: &Table, normal: Shape, kept: &[Kept]) -> Self {
        let layer = Layer::new(table, normal, kept);
        let version = watch::Sender::new(layer.version());
        Self(Arc::new(Shared { layer: Mutex::new(layer), version, begun: Instant::now(), held: AtomicUsize::new(0) }))
    }

    /// Changes some directions; connections notice at once. What has to be kept is given back.
    ///
    /// # Errors
    /// When one of them is not there; then nothing has changed.
    pub fn set(&self, ways: &[Way], protocol: Option<&str>, change: &Change) -> Result<Vec<Kept>, Unknown> {
        self.change(|layer, now| {
            layer.set(now, ways, protocol, change)?;
            Ok(layer.kept())
        })
    }

    /// Forgets all that was set.
    pub fn reset(&self) {
        self.change(|layer, now| layer.reset(now));
    }

    /// Each protocol in each direction.
    #[must_use]
    pub fn flows(&self) -> Vec<Flow> {
        self.look(|layer, _| layer.flows())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Layer, Duration) -> T) -> T {
        let (outcome, version) = self.look(|layer, now| (change(layer, now), layer.version()));
        self.0.version.send_replace(version);
        outcome
    }

    fn look<T>(&self, look: impl FnOnce(&mut Layer, Duration) -> T) -> T {
        let now = self.now();
        look(&mut self.0.layer.lock().expect("no holder of this lock panics"), now)
    }

    fn now(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// Takes connections until `shutdown`, which cuts off those that are left.
    pub async fn serve(self, link: Link, listener: TcpListener, traffic: Arc<Traffic>, shutdown: CancellationToken) {
        let link = Arc::new(link);
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let caller = match accepted {
                Ok((caller, _)) => caller,
                Err(error) => {
                    tracing::warn!(%link, %error, "cannot take a connection");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                traffic.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%link, most = MOST_CONNECTIONS, "too many connections");
                let _ = caller.set_zero_linger();
                continue;
            };
            let connection = Connection::new(self.clone(), link.clone(), traffic.clone());
            connections.spawn(async move {
                let _place = place;
                connection.run(caller).await;
            });
        }
    }
}

#[cfg(test)]
mod tests;
