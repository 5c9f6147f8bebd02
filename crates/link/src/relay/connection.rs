//! One connection: two sockets, two pipes, one task.

use std::{
    future::pending,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use rand::RngExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpStream, tcp::WriteHalf},
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Links, Traffic};
use crate::{
    layer::Way,
    pipe::{Next, Pipe, What},
    table::Link,
};

/// Most bytes read at once.
const CHUNK: usize = 32 * 1024;
/// Most bytes of one direction of a connection under way; then its sender has to wait, as for a full socket.
const WINDOW: usize = 4 << 20;
/// What a connection may always have under way.
const LEAST_WINDOW: usize = 64 << 10;
/// When all connections together have this much under way, each may have [`LEAST_WINDOW`] only.
const BUDGET: usize = 256 << 20;
/// A target on this machine takes a connection at once, or it is not there.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
/// How often is looked whether a caller whose connection cannot be made has hung up.
const PATIENCE: Duration = Duration::from_secs(1);

/// One direction.
struct Half {
    way: Way,
    pipe: Pipe,
    /// The source says no more, or nobody would hear it.
    is_silent: bool,
    /// The end has come out.
    is_over: bool,
    /// Its source broke; it ends with a reset.
    is_broken: bool,
    /// Bytes that the counters know to be under way.
    counted: usize,
    next: Next,
    has_room: bool,
}

impl Half {
    fn new(way: Way) -> Self {
        let pipe = Pipe::default();
        Self { way, pipe, is_silent: false, is_over: false, is_broken: false, counted: 0, next: Next::Nothing, has_room: true }
    }

    /// Whoever would take the bytes is gone.
    fn give_up(&mut self) {
        self.pipe.clear();
        self.is_silent = true;
    }
}

/// What a direction did next.
enum Step {
    /// Bytes came out.
    Wrote(usize),
    /// Something else did.
    Out(What),
    /// Whoever should have taken it is gone.
    Broken,
}

pub(super) struct Connection {
    links: Links,
    link: Arc<Link>,
    traffic: Arc<Traffic>,
    changes: watch::Receiver<u64>,
    there: Half,
    back: Half,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.there.pipe.clear();
        self.back.pipe.clear();
        self.count();
        self.traffic.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    pub(super) fn new(links: Links, link: Arc<Link>, traffic: Arc<Traffic>) -> Self {
        traffic.connections.fetch_add(1, Ordering::Relaxed);
        let changes = links.0.version.subscribe();
        let way = Way { from: link.from, to: link.to };
        Self { links, link, traffic, changes, there: Half::new(way), back: Half::new(way.back()) }
    }

    pub(super) async fn run(mut self, caller: TcpStream) {
        if !self.cross(true, Some(&caller)).await {
            return;
        }
        let connected = timeout(CONNECTS_WITHIN, TcpStream::connect(self.link.target)).await;
        let target = match connected.unwrap_or_else(|late| Err(late.into())) {
            Ok(target) => target,
            Err(error) => {
                tracing::debug!(link = %self.link, %error, "the target takes no connection");
                self.traffic.refused.fetch_add(1, Ordering::Relaxed);
                self.cross(false, None).await;
                let _ = caller.set_zero_linger();
                return;
            }
        };
        let _ = caller.set_nodelay(true);
        let _ = target.set_nodelay(true);
        self.traffic.opened.fetch_add(1, Ordering::Relaxed);
        self.push(false, What::Opened);
        self.converse(caller, target).await;
    }

    /// Sends a packet one way and waits until it is there. False when the caller hung up before.
    async fn cross(&mut self, there: bool, caller: Option<&TcpStream>) -> bool {
        self.push(there, What::Opened);
        loop {
            self.learn();
            let half = if there { &mut self.there } else { &mut self.back };
            match half.next {
                Next::At(due) if due <= self.links.now() => {
                    half.pipe.taken();
                    return true;
                }
                Next::At(due) => tokio::select! {
                    () = sleep_until(self.links.0.begun + due) => {}
                    _ = self.changes.changed() => {}
                },
                Next::Cut | Next::Nothing => tokio::select! {
                    () = sleep(PATIENCE) => {
                        if let Some(caller) = caller && has_hung_up(caller).await {
                            return false;
                        }
                    }
                    _ = self.changes.changed() => {}
                },
            }
        }
    }

    /// Until both directions are over, or one end has learned that the other broke.
    async fn converse(&mut self, mut caller: TcpStream, mut target: TcpStream) {
        let (mut from_caller, mut to_caller) = caller.split();
        let (mut from_target, mut to_target) = target.split();
        let (mut said, mut answered) = (vec![0; CHUNK], vec![0; CHUNK]);
        // The caller is heard when it knows that it is connected.
        let mut is_open = false;
        while !(self.there.is_over && self.back.is_over) {
            self.learn();
            let hears = is_open && self.there.has_room && !self.there.is_silent;
            let answers = self.back.has_room && !self.back.is_silent;
            let (links, protocol) = (&self.links, self.link.protocol.as_str());
            let (there, back) = (&self.there, &self.back);
            tokio::select! {
                _ = self.changes.changed() => {}
                read = from_caller.read(&mut said), if hears => self.heard(true, read, &said),
                read = from_target.read(&mut answered), if answers => self.heard(false, read, &answered),
                step = step(links, protocol, there, &mut to_target), if is_due(there) => {
                    if self.stepped(true, step, &mut is_open) {
                        let _ = to_target.as_ref().set_zero_linger();
                        return;
                    }
                }
                step = step(links, protocol, back, &mut to_caller), if is_due(back) => {
                    if self.stepped(false, step, &mut is_open) {
                        let _ = to_caller.as_ref().set_zero_linger();
                        return;
                    }
                }
            }
        }
    }

    /// Takes what an end said: bytes, that it has no more, or that it broke.
    fn heard(&mut self, there: bool, read: io::Result<usize>, buffer: &[u8]) {
        match read {
            Ok(0) => {
                let half = self.half(there);
                half.is_silent = true;
                let last = if half.is_broken { What::Reset } else { What::End };
                self.push(there, last);
            }
            Ok(count) => self.push(there, What::Data(Bytes::copy_from_slice(&buffer[..count]))),
            Err(_) => {
                self.half(there).is_silent = true;
                self.half(!there).give_up();
                self.push(there, What::Reset);
            }
        }
    }

    /// Notes what came out. True when it was a reset, with which all is over.
    fn stepped(&mut self, there: bool, step: Step, is_open: &mut bool) -> bool {
        let bytes = if there { &self.traffic.there } else { &self.traffic.back };
        match step {
            Step::Wrote(count) => {
                bytes.fetch_add(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
                self.half(there).pipe.took(count);
            }
            Step::Out(what) => {
                let half = self.half(there);
                half.pipe.taken();
                match what {
                    What::End => half.is_over = true,
                    What::Opened => *is_open = true,
                    What::Reset => return true,
                    What::Data(_) => {}
                }
            }
            // The other end hears of it in its time, after what was said before and is still to be read.
            Step::Broken => {
                self.half(there).give_up();
                let other = self.half(!there);
                other.is_broken = true;
                if other.is_silent {
                    other.is_over = false;
                    self.push(!there, What::Reset);
                }
            }
        }
        false
    }

    fn half(&mut self, there: bool) -> &mut Half {
        if there { &mut self.there } else { &mut self.back }
    }

    fn push(&mut self, there: bool, what: What) {
        let Self { links, link, there: out, back, .. } = self;
        let half = if there { out } else { back };
        links.look(|layer, now| {
            let wire = layer.wire(half.way, &link.protocol);
            half.pipe.learn(now, wire);
            half.pipe.push(now, what, wire, &mut || rand::rng().random::<f64>());
        });
    }

    /// Takes note of what was set since, and of what comes next.
    fn learn(&mut self) {
        let Self { links, link, there, back, .. } = self;
        let is_tight = links.0.held.load(Ordering::Relaxed) > BUDGET;
        links.look(|layer, now| {
            for half in [there, back] {
                let wire = layer.wire(half.way, &link.protocol);
                half.pipe.learn(now, wire);
                half.next = half.pipe.next(wire);
                let window = if is_tight { LEAST_WINDOW } else { wire.window(LEAST_WINDOW, WINDOW) };
                half.has_room = half.pipe.held() < window;
            }
        });
        self.count();
    }

    /// Brings the counters of what is under way up to date.
    fn count(&mut self) {
        let Self { links, traffic, there, back, .. } = self;
        for (half, gauge) in [(there, &traffic.held_there), (back, &traffic.held_back)] {
            let (before, now) = (std::mem::replace(&mut half.counted, half.pipe.held()), half.pipe.held());
            if now >= before {
                links.0.held.fetch_add(now - before, Ordering::Relaxed);
                gauge.fetch_add(wide(now - before), Ordering::Relaxed);
            } else {
                links.0.held.fetch_sub(before - now, Ordering::Relaxed);
                gauge.fetch_sub(wide(before - now), Ordering::Relaxed);
            }
        }
    }
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn is_due(half: &Half) -> bool {
    matches!(half.next, Next::At(_))
}

/// Waits until the first piece is due, and lets it out. Nothing is lost when it is dropped before it ends.
async fn step(links: &Links, protocol: &str, half: &Half, out: &mut WriteHalf<'_>) -> Step {
    let (Next::At(due), Some(what)) = (half.next, half.pipe.first()) else { return pending().await };
    let when = links.0.begun + due;
    if when > Instant::now() {
        sleep_until(when).await;
    }
    if let What::Data(_) = what
        && out.writable().await.is_err()
    {
        return Step::Broken;
    }
    // Once it was said that the direction is cut, nothing comes out any more; the task is told of it, and drops this.
    if links.look(|layer, _| layer.wire(half.way, protocol).shape().partitioned) {
        return pending().await;
    }
    match what {
        What::Data(bytes) => match out.try_write(bytes) {
            Ok(0) => Step::Broken,
            Ok(count) => Step::Wrote(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::Wrote(0),
            Err(_) => Step::Broken,
        },
        What::End => match out.shutdown().await {
            Ok(()) => Step::Out(What::End),
            Err(_) => Step::Broken,
        },
        other => Step::Out(other.clone()),
    }
}

/// True when nothing will be heard of the caller any more.
async fn has_hung_up(caller: &TcpStream) -> bool {
    match timeout(Duration::ZERO, caller.ready(Interest::READABLE)).await {
        Ok(Ok(ready)) => ready.is_read_closed(),
        Ok(Err(_)) => true,
        Err(_) => false,
    }
}
