//! What is checked before anything is started: ports, memory, disk, our own binaries. Each refusal says what to do.

use std::{collections::BTreeSet, fs, net::TcpListener, path::Path};

use anyhow::{Context, Result};

use crate::{
    plan::{Kind, Plan},
    process,
};

/// Free disk that a home needs.
pub const DISK: u64 = 2 << 30;
/// Free memory that two regions need.
pub const MEMORY: u64 = 3 << 30;

/// A reason not to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

/// All reasons not to start.
///
/// # Errors
/// When a check itself cannot be made.
pub fn check(plan: &Plan, home: &Path, binaries: &Path) -> Result<Vec<Refusal>> {
    let mut refusals = taken_ports(plan);
    let disk = free_disk(home)?;
    if disk < DISK {
        let (free, need) = (gib(disk), gib(DISK));
        refusals.push(Refusal(format!(
            "only {free} free on the disk of {}, {need} are needed: free some, or set BACKBONE_HOME",
            home.display()
        )));
    }
    if let Some(memory) = free_memory().filter(|&memory| memory < MEMORY) {
        refusals.push(Refusal(format!("only {} of memory available, {} are needed: close something", gib(memory), gib(MEMORY))));
    }
    let services = plan.parts().filter(|part| part.kind == Kind::Service);
    let names: BTreeSet<_> = services.map(|part| part.name.as_str()).filter(|name| !binaries.join(name).is_file()).collect();
    if !names.is_empty() {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        refusals.push(Refusal(format!("not built: {names} (looked in {}): run `make build`", binaries.display())));
    }
    Ok(refusals)
}

/// Ports of the plan that somebody else listens on.
#[must_use]
pub fn taken_ports(plan: &Plan) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for part in plan.parts() {
        for port in &part.ports {
            if TcpListener::bind(("127.0.0.1", port.number)).is_err() {
                let number = port.number;
                let holder = holder(number).map_or_else(|| "another process".to_owned(), |(pid, name)| format!("process {pid} ({name})"));
                refusals.push(Refusal(format!(
                    "port {number}, wanted by {} ({}), is held by {holder}: stop it, or set BACKBONE_PORT_SHIFT, for example to 100",
                    part.id(),
                    port.label
                )));
            }
        }
    }
    refusals
}

/// The process that listens on a port, as far as `/proc` lets us see.
fn holder(port: u16) -> Option<(u32, String)> {
    let sockets: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    process::pids().find_map(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let holds = files
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
            .any(|target| target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target)));
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        holds.then(|| (pid, name.trim().to_owned()))
    })
}

/// Inodes of the sockets that listen on `port`, from the kernel's table.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let wanted = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&wanted) && row[3] == LISTEN).map(|row| row[9].to_owned()).collect()
}

/// Bytes free for us on the disk of the nearest folder that exists.
///
/// # Errors
/// When the disk cannot be asked.
pub fn free_disk(path: &Path) -> Result<u64> {
    let folder = path.ancestors().find(|folder| folder.exists()).unwrap_or_else(|| Path::new("/"));
    let stat = rustix::fs::statvfs(folder).with_context(|| format!("ask for the free space of {}", folder.display()))?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Bytes of memory that can be had: what the machine has, or what is left of the cgroup's limit.
#[must_use]
pub fn free_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse::<u64>().ok();
    let group = read("memory.max").zip(read("memory.current")).map(|(limit, used)| limit.saturating_sub(used));
    Some(group.map_or(machine, |group| group.min(machine)))
}

/// `3.0 GiB`.
#[must_use]
pub fn gib(bytes: u64) -> String {
    let tenths = bytes / (1 << 30) * 10 + bytes % (1 << 30) * 10 / (1 << 30);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0\n   \
             1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 778 1 0\n";
        assert_eq!(listening(table, 8080), ["777"]);
        assert!(listening(table, 8081).is_empty());
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (pid, _) = holder(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(pid, std::process::id());
    }

    #[test]
    fn sizes_are_read_easily() {
        assert_eq!(gib(3 << 30), "3.0 GiB");
        assert_eq!(gib((3 << 30) / 2), "1.5 GiB");
    }
}
