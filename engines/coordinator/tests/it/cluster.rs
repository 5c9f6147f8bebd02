//! Three sites as processes on ephemeral ports, and what can be done to them.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use coordinator::wire::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseGrantResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, StatusRequest, StatusResponse, TxnRequest, TxnResponse, cluster_client::ClusterClient,
    kv_client::KvClient, lease_client::LeaseClient, maintenance_client::MaintenanceClient, watch_client::WatchClient,
};
use rustix::process::{Pid, Signal, kill_process};
use tonic::transport::{Channel, Endpoint};

use crate::links::{self, Links};

/// Whose processes these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Make {
    Coordinator,
    Etcd(PathBuf),
}

impl Make {
    /// The etcd that `ETCD` names. Says so when there is none.
    pub(crate) fn etcd() -> Option<Self> {
        let path = std::env::var_os("ETCD");
        if path.is_none() {
            // Not by `eprintln!`, which the harness swallows when a test passes.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: the same against etcd; `make conformance` does it, or ETCD with the path of its program"
            );
        }
        path.map(|path| Self::Etcd(path.into()))
    }
}

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) client: SocketAddr,
    peer: SocketAddr,
    /// Where the others call it.
    pub(crate) peer_url: String,
    admin: SocketAddr,
    pub(crate) data: PathBuf,
    child: Option<Child>,
    paused: bool,
}

#[derive(Debug)]
pub(crate) struct Cluster {
    make: Make,
    pub(crate) sites: Vec<Site>,
    pub(crate) links: Links,
    folder: PathBuf,
    extra: Vec<(&'static str, String)>,
}

fn free_port() -> SocketAddr {
    free_port_at(Ipv4Addr::LOCALHOST.into())
}

/// Never one that another cluster of this run has, or its clients would talk to the wrong sites.
fn free_port_at(address: IpAddr) -> SocketAddr {
    (address, testkit::free_port()).into()
}

impl Cluster {
    pub(crate) async fn start(make: Make, sites: usize, extra: &[(&'static str, &str)]) -> Result<Self> {
        let mut cluster = Self::prepared(sites, extra);
        if make != Make::Coordinator {
            cluster.sites.iter_mut().for_each(|site| site.peer_url = format!("http://{}", site.peer));
        }
        cluster.make = make;
        for index in 0..cluster.sites.len() {
            cluster.spawn(index)?;
        }
        cluster.leader(Duration::from_secs(20)).await?;
        Ok(cluster)
    }

    /// Sites of the coordinator that have not been started.
    pub(crate) fn prepared(sites: usize, extra: &[(&'static str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("coordinator-{}-{}", std::process::id(), free_port().port()));
        let new = |index: usize| Site {
            client: free_port(),
            peer: free_port_at(links::address(index)),
            peer_url: String::new(),
            admin: free_port(),
            data: folder.join(index.to_string()),
            child: None,
            paused: false,
        };
        let links = Links::new(sites);
        let mut sites: Vec<Site> = (0..sites).map(new).collect();
        for (index, site) in sites.iter_mut().enumerate() {
            site.peer_url = format!("http://{}", links.lay(index, site.peer));
        }
        let extra = extra.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { make: Make::Coordinator, sites, links, folder, extra }
    }

    /// Starts a site's process, with whatever it has on disk.
    pub(crate) fn spawn(&mut self, index: usize) -> Result<()> {
        let peers: Vec<String> = self.sites.iter().map(|site| site.peer_url.clone()).collect();
        let site = &self.sites[index];
        std::fs::create_dir_all(&site.data)?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(site.data.with_extension("log"))?;
        let command = match &self.make {
            Make::Coordinator => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
                command
                    .env_clear()
                    .env("NODE_NAME", format!("site{index}"))
                    .env("LISTEN_ADDR", site.client.to_string())
                    .env("ADMIN_ADDR", site.admin.to_string())
                    .env("PEER_LISTEN_ADDR", site.peer.to_string())
                    .env("PEER_URL", &site.peer_url)
                    .env("INITIAL_CLUSTER", peers.join(","))
                    .env("DATA_DIR", &site.data)
                    .env("DRAIN_TIMEOUT", "2s")
                    .envs(self.extra.iter().map(|(name, value)| (*name, value)));
                command
            }
            Make::Etcd(path) => {
                let named = peers.iter().enumerate().map(|(index, url)| format!("site{index}={url}")).collect::<Vec<_>>();
                let mut command = Command::new(path);
                command
                    .args(["--name", &format!("site{index}"), "--data-dir", &site.data.to_string_lossy(), "--log-level", "error"])
                    .args(["--listen-client-urls", &format!("http://{}", site.client)])
                    .args(["--advertise-client-urls", &format!("http://{}", site.client)])
                    .args(["--listen-peer-urls", &peers[index], "--initial-advertise-peer-urls", &peers[index]])
                    .args(["--initial-cluster", &named.join(","), "--heartbeat-interval", "50", "--election-timeout", "300"]);
                command
            }
        };
        let mut command = command;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("start a site")?;
        self.sites[index].child = Some(child);
        Ok(())
    }

    /// As when power is lost.
    pub(crate) fn kill(&mut self, index: usize) {
        self.resume(index);
        if let Some(mut child) = self.sites[index].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks a site to end, and waits until it has.
    pub(crate) fn stop(&mut self, index: usize) -> Option<std::process::ExitStatus> {
        let mut child = self.sites[index].child.take()?;
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        child.wait().ok()
    }

    /// Waits until a site has ended by itself.
    pub(crate) fn ended(&mut self, index: usize, within: Duration) -> Result<std::process::ExitStatus> {
        let started = Instant::now();
        let child = self.sites[index].child.as_mut().context("the site runs")?;
        while started.elapsed() < within {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("site {index} still runs after {within:?}")
    }

    fn signal(&self, index: usize, signal: Signal) {
        if let Some(child) = &self.sites[index].child {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    pub(crate) fn pause(&mut self, index: usize) {
        self.signal(index, Signal::STOP);
        self.sites[index].paused = true;
    }

    pub(crate) fn resume(&mut self, index: usize) {
        if self.sites[index].paused {
            self.signal(index, Signal::CONT);
            self.sites[index].paused = false;
        }
    }

    pub(crate) fn is_up(&self, index: usize) -> bool {
        self.sites[index].child.is_some() && !self.sites[index].paused
    }

    /// What a site has said.
    pub(crate) fn log(&self, index: usize) -> String {
        std::fs::read_to_string(self.sites[index].data.with_extension("log")).unwrap_or_default()
    }

    pub(crate) fn client(&self, index: usize) -> Client {
        Client::to(self.sites[index].client)
    }

    /// Waits until a site that is up leads, and another one knows of it.
    pub(crate) async fn leader(&self, within: Duration) -> Result<usize> {
        let started = Instant::now();
        while started.elapsed() < within {
            for index in (0..self.sites.len()).filter(|index| self.is_up(*index)) {
                if let Ok(status) = self.client(index).status().await
                    && let Some(header) = status.header
                    && status.leader == header.member_id
                    && self.client(index).get(b"any").await.is_ok()
                {
                    return Ok(index);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for index in 0..self.sites.len() {
            eprintln!("site {index}: {}", self.log(index));
        }
        bail!("no leader within {within:?}")
    }

    pub(crate) fn segments(&self, index: usize) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> = list(&self.sites[index].data.join("log"));
        names.sort();
        names
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..self.sites.len() {
            self.kill(index);
        }
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The generated clients of one site, with short deadlines.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) kv: KvClient<Channel>,
    pub(crate) lease: LeaseClient<Channel>,
    pub(crate) watch: WatchClient<Channel>,
    pub(crate) cluster: ClusterClient<Channel>,
    pub(crate) maintenance: MaintenanceClient<Channel>,
}

type Answer<T> = Result<T, tonic::Status>;

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a URL");
        let channel = endpoint.connect_timeout(Duration::from_millis(500)).tcp_nodelay(true).connect_lazy();
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(64 << 20),
            lease: LeaseClient::new(channel.clone()),
            watch: WatchClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel),
        }
    }

    pub(crate) async fn status(&mut self) -> Answer<StatusResponse> {
        let mut request = tonic::Request::new(StatusRequest {});
        request.set_timeout(Duration::from_secs(1));
        self.maintenance.status(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn get(&mut self, key: &[u8]) -> Answer<RangeResponse> {
        self.range(RangeRequest { key: key.to_vec().into(), ..RangeRequest::default() }).await
    }

    pub(crate) async fn range(&mut self, request: RangeRequest) -> Answer<RangeResponse> {
        let mut request = tonic::Request::new(request);
        request.set_timeout(Duration::from_secs(3));
        self.kv.range(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn put(&mut self, key: &[u8], value: &[u8]) -> Answer<PutResponse> {
        self.put_with(PutRequest { key: key.to_vec().into(), value: value.to_vec().into(), ..PutRequest::default() }).await
    }

    pub(crate) async fn put_with(&mut self, request: PutRequest) -> Answer<PutResponse> {
        let mut request = tonic::Request::new(request);
        request.set_timeout(Duration::from_secs(3));
        self.kv.put(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn delete(&mut self, key: &[u8], end: &[u8]) -> Answer<DeleteRangeResponse> {
        let request = DeleteRangeRequest { key: key.to_vec().into(), range_end: end.to_vec().into(), prev_kv: true };
        self.kv.delete_range(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn txn(&mut self, request: TxnRequest) -> Answer<TxnResponse> {
        let mut request = tonic::Request::new(request);
        request.set_timeout(Duration::from_secs(3));
        self.kv.txn(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn compact(&mut self, revision: i64) -> Answer<CompactionResponse> {
        self.kv.compact(CompactionRequest { revision, physical: true }).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn grant(&mut self, id: i64, ttl: i64) -> Answer<LeaseGrantResponse> {
        self.lease.lease_grant(LeaseGrantRequest { id, ttl }).await.map(tonic::Response::into_inner)
    }
}
