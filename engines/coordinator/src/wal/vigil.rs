//! Keeps a processor awake while a lone write waits for the disk.
//!
//! A virtual machine may notice only at an idle processor's next tick that the disk is done: seen are 4 ms, that of 250 ticks a second, for
//! a sync that takes 0.07 ms while anything runs. So something runs for as long, at the lowest priority, and gives up after [`LIMIT`]: a
//! disk that is slower than that gains nothing by it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Longest time that one sync keeps a processor awake.
const LIMIT: Duration = Duration::from_millis(1);
/// The lowest priority: whoever else wants the processor has it.
const NICE: i32 = 19;

const ASLEEP: u8 = 0;
const AWAKE: u8 = 1;
const ENDED: u8 = 2;

/// The thread that is awake.
#[derive(Debug)]
pub(super) struct Vigil {
    state: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

impl Vigil {
    /// # Errors
    /// When there can be no further thread.
    pub(super) fn start() -> io::Result<Self> {
        let state = Arc::new(AtomicU8::new(ASLEEP));
        let watched = state.clone();
        let thread = std::thread::Builder::new().name("wal awake".to_owned()).spawn(move || keep(&watched))?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Waits for the disk, awake.
    pub(super) fn during<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.state.store(AWAKE, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        let done = wait();
        self.state.store(ASLEEP, Ordering::Release);
        done
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        self.state.store(ENDED, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn keep(state: &AtomicU8) {
    // Linux takes "this process" for the calling thread alone.
    let lowered = rustix::process::setpriority_process(None, NICE);
    loop {
        match state.load(Ordering::Acquire) {
            ENDED => return,
            AWAKE if lowered.is_ok() => {
                let begun = Instant::now();
                while state.load(Ordering::Acquire) == AWAKE && begun.elapsed() < LIMIT {
                    std::thread::yield_now();
                }
                if state.load(Ordering::Acquire) == AWAKE {
                    let _ = state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
                }
            }
            _ => std::thread::park(),
        }
    }
}
