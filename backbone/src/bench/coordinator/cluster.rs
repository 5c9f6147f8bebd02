//! Three sites of one make, as processes on free ports of loopback.

use std::{
    fs::{File, create_dir_all, remove_dir_all},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use lease::wire::etcdserverpb::{PutRequest, StatusRequest, kv_client::KvClient, maintenance_client::MaintenanceClient};
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};

use crate::process::{cpu_seconds, tail};

const SITES: usize = 3;
/// Three sites lead and follow by then.
const START: Duration = Duration::from_secs(30);
/// Longest time that a call which goes nowhere is waited for.
const CALL: Duration = Duration::from_millis(1500);

/// Whose sites these are, and their program.
#[derive(Debug)]
pub(super) enum Make {
    Ours(PathBuf),
    Etcd(PathBuf),
}

impl Make {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "ours",
            Self::Etcd(_) => "etcd",
        }
    }

    fn command(&self, index: usize, sites: &[Site], data: &Path) -> Command {
        let site = &sites[index];
        let peer = |site: &Site| format!("http://{}", site.peer);
        let peers: Vec<String> = sites.iter().map(peer).collect();
        match self {
            Self::Ours(program) => {
                let mut command = Command::new(program);
                command.env_clear().env("NODE_NAME", format!("site{index}")).env("DATA_DIR", data);
                command.env("LISTEN_ADDR", site.client.to_string()).env("ADMIN_ADDR", site.admin.to_string());
                command.env("PEER_LISTEN_ADDR", site.peer.to_string()).env("INITIAL_CLUSTER", peers.join(","));
                command
            }
            Self::Etcd(program) => {
                let named: Vec<_> = peers.iter().enumerate().map(|(index, url)| format!("site{index}={url}")).collect();
                let client = format!("http://{}", site.client);
                let mut command = Command::new(program);
                command.args(["--name", &format!("site{index}"), "--log-level", "error"]).arg("--data-dir").arg(data);
                command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
                command.args(["--listen-peer-urls", &peers[index], "--initial-advertise-peer-urls", &peers[index]]);
                command.args(["--initial-cluster", &named.join(","), "--heartbeat-interval", "50", "--election-timeout", "300"]);
                command
            }
        }
    }
}

#[derive(Debug)]
struct Site {
    client: SocketAddr,
    peer: SocketAddr,
    admin: SocketAddr,
    log: PathBuf,
    process: Option<Child>,
}

/// Three sites. They end, and their data goes, with it.
#[derive(Debug)]
pub(super) struct Cluster {
    sites: Vec<Site>,
    folder: PathBuf,
}

fn free_port() -> Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).context("find a free port")
}

impl Cluster {
    /// Starts new sites in `folder` and waits until one leads.
    pub(super) async fn start(make: &Make, folder: &Path) -> Result<Self> {
        if folder.exists() {
            remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        create_dir_all(folder)?;
        let mut cluster = Self { sites: Vec::new(), folder: folder.to_owned() };
        for index in 0..SITES {
            let log = folder.join(format!("{index}.log"));
            cluster.sites.push(Site { client: free_port()?, peer: free_port()?, admin: free_port()?, log, process: None });
        }
        for index in 0..SITES {
            let log = File::create(&cluster.sites[index].log)?;
            let mut command = make.command(index, &cluster.sites, &folder.join(index.to_string()));
            let process = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
            cluster.sites[index].process = Some(process.with_context(|| format!("start a site of {}", make.name()))?);
        }
        cluster.leader().await?;
        Ok(cluster)
    }

    /// A new connection to a site.
    pub(super) fn connect(&self, site: usize) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.sites[site].client)).context("an address is a URL")?;
        Ok(endpoint.tcp_nodelay(true).connect_lazy())
    }

    /// The site that says of itself that it leads, once one does.
    pub(super) async fn leader(&self) -> Result<usize> {
        let begun = Instant::now();
        while begun.elapsed() < START {
            for site in 0..SITES {
                let mut asked = MaintenanceClient::new(self.connect(site)?);
                if let Ok(Ok(status)) = timeout(CALL, asked.status(StatusRequest {})).await
                    && let status = status.into_inner()
                    && status.header.is_some_and(|header| header.member_id == status.leader)
                {
                    return Ok(site);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("no leader within {START:?}: {}", self.sites.iter().flat_map(|site| tail(&site.log, 5)).collect::<Vec<_>>().join("\n"))
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        self.sites.iter().filter_map(|site| site.process.as_ref()).map(Child::id)
    }

    /// What is resident in all sites, in MiB.
    pub(super) fn memory(&self) -> f64 {
        self.pids().filter_map(resident).sum::<f64>() / 1024.0
    }

    /// Processor time of all sites so far, in seconds.
    pub(super) fn cpu(&self) -> f64 {
        self.pids().filter_map(cpu_seconds).sum()
    }

    /// Kills the leader, and gives how long it took until a write through another site was done.
    pub(super) async fn lose_leader(&mut self) -> Result<Duration> {
        let leader = self.leader().await?;
        let others = (0..SITES).filter(|site| *site != leader).map(|site| Ok(KvClient::new(self.connect(site)?)));
        let mut others = others.collect::<Result<Vec<_>>>()?;
        let put = || PutRequest { key: "after".into(), value: "x".into(), ..PutRequest::default() };
        for other in &mut others {
            other.put(put()).await.context("a write before the kill")?;
        }
        let struck = Instant::now();
        self.sites[leader].end();
        while struck.elapsed() < START {
            for other in &mut others {
                if let Ok(Ok(_)) = timeout(CALL, other.put(put())).await {
                    return Ok(struck.elapsed());
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
        bail!("no write within {START:?} after the leader was killed")
    }
}

/// KiB that a process has in memory.
fn resident(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

impl Site {
    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = (process.kill(), process.wait());
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.sites.iter_mut().for_each(Site::end);
        let _ = remove_dir_all(&self.folder);
    }
}
