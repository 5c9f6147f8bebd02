//! Child processes that die with the test process, and its temporary folder.
//!
//! The kernel kills a child when the *thread* that started it ends (`PR_SET_PDEATHSIG`), and a test's thread ends with the test. So one
//! thread that lives as long as the process starts them all. The folder is removed by a shell that waits for the end of its input,
//! which comes when this process is gone.

use std::{
    fs::{self, File},
    io,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

static KEEPER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    let keep = move || {
        for (mut command, answer) in inbox {
            let _ = answer.send(command.spawn());
        }
    };
    thread::Builder::new().name("keeper".to_owned()).spawn(keep).expect("a thread can be started");
    Mutex::new(orders)
});

/// A program that dies with this process; when this is root and `unprivileged` is asked for, it runs as `nobody`.
pub(crate) fn program(program: &Path, unprivileged: bool) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if unprivileged && rustix::process::geteuid().is_root() {
        let (uid, gid) = nobody();
        command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]);
        if is_closed(program) {
            let capability = capability();
            command.args([&format!("--inh-caps=+{capability}"), &format!("--ambient-caps=+{capability}")]);
            // Without this, access(2), by which initdb looks for its programs, leaves the capability out.
            command.arg("--securebits=+no_setuid_fixup");
        }
    }
    command.arg(program).stdin(Stdio::null());
    command
}

/// True when other users may not walk down to `path`, as is so below /root.
fn is_closed(path: &Path) -> bool {
    path.ancestors().skip(1).any(|folder| fs::metadata(folder).is_ok_and(|meta| meta.mode() & 0o001 == 0))
}

/// The smallest capability we have that opens folders: to read and traverse, or, where a container has taken that away, to write too.
fn capability() -> &'static str {
    const DAC_READ_SEARCH: u64 = 1 << 2;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapPrm:")?.trim(), 16).ok());
    if held.is_some_and(|held| held & DAC_READ_SEARCH != 0) { "dac_read_search" } else { "dac_override" }
}

/// User and group that programs run as which refuse to be root.
pub(crate) fn nobody() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    let line = users.lines().find(|line| line.starts_with("nobody:")).expect("there is a user nobody");
    let mut ids = line.split(':').skip(2).map(|field| field.parse().expect("ids are numbers"));
    (ids.next().expect("a uid"), ids.next().expect("a gid"))
}

/// Starts `command` with its output in `log`.
///
/// # Panics
/// When it cannot be started.
pub(crate) fn spawn(mut command: Command, log: &Path) -> Child {
    let name = format!("{command:?}");
    let out = File::options().create(true).append(true).open(log).expect("the log can be written");
    command.stderr(out.try_clone().expect("a file handle can be copied")).stdout(out);
    let (answer, started) = mpsc::channel();
    KEEPER.lock().expect("no holder of this lock panics").send((command, answer)).expect("the keeper lives");
    started.recv().expect("the keeper answers").unwrap_or_else(|error| panic!("start {name}: {error}"))
}

/// The temporary folder of this process, open to `nobody`.
///
/// # Panics
/// When it cannot be made.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = std::env::temp_dir().join(format!("testkit-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("create {}: {error}", folder.display()));
        let script = "cat >/dev/null; for i in 1 2 3 4 5 6 7 8 9; do rm -rf \"$0\" 2>/dev/null && exit; sleep 0.2; done";
        let mut remover = Command::new("sh");
        remover.args(["-c", script]).arg(&folder).current_dir("/");
        // A group of its own: Ctrl-C ends the tests, not what cleans up after them.
        remover.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = remover.spawn().expect("a shell can be started");
        // Its input stays open until this process ends.
        std::mem::forget(child);
        folder
    });
    &FOLDER
}

/// A fresh folder for one part's files. It goes with the test process.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn fresh_folder(name: &str) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let path = folder().join(format!("{name}-{}", MADE.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&path).unwrap_or_else(|error| panic!("create {}: {error}", path.display()));
    path
}

/// The last lines of a log, for a panic's text.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let log = folder().join("keeper-test.log");
        let start = move || {
            let mut command = program(Path::new("sleep"), true);
            command.arg("30");
            spawn(command, &log)
        };
        let mut child = thread::spawn(start).join().unwrap();
        thread::sleep(Duration::from_millis(100));
        assert!(child.try_wait().unwrap().is_none(), "it still runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
