//! Real sockets through a link.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::*;
use crate::{quantity::Bandwidth, site::Site};

/// For everything that takes a moment.
const SOON: Duration = Duration::from_secs(10);
/// What does not come within this does not come.
const NEVER: Duration = Duration::from_millis(300);
const THERE: Way = Way { from: Site::Eu, to: Site::Us };

/// A link and its target.
struct Bench {
    links: Links,
    address: SocketAddr,
    target: TcpListener,
    traffic: Arc<Traffic>,
    _tasks: JoinSet<()>,
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Bench {
    async fn new(latency: Duration) -> Self {
        let ((listener, listen_at), (target, target_at)) = (listen().await, listen().await);
        let link = Link { from: Site::Eu, to: Site::Us, protocol: "cart".to_owned(), listen: listen_at, target: target_at };
        let links = Links::new(&Table(vec![link.clone()]), Shape::of_latency(latency), &[]);
        let traffic = Arc::<Traffic>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(links.clone().serve(link, listener, traffic.clone(), CancellationToken::new()));
        Self { links, address: listen_at, target, traffic, _tasks: tasks }
    }

    /// Both ends of a connection.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let caller = TcpStream::connect(self.address).await.unwrap();
        let (target, _) = timeout(SOON, self.target.accept()).await.unwrap().unwrap();
        (caller, target)
    }

    fn cut(&self, ways: &[Way], is_cut: bool) {
        self.links.set(ways, None, &Change { partitioned: Some(is_cut), ..Change::default() }).unwrap();
    }

    async fn until(&self, what: &str, holds: impl Fn(&Traffic) -> bool) {
        let wait = async {
            while !holds(&self.traffic) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{what}: {:?}", self.traffic));
    }
}

async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(SOON, stream.read_exact(&mut bytes)).await.expect("in time").expect("bytes");
    bytes
}

async fn is_quiet(stream: &mut TcpStream) -> bool {
    timeout(NEVER, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_take_the_latency_each_way_and_the_handshake_too() {
    let bench = Bench::new(Duration::from_millis(30)).await;
    let begun = Instant::now();
    let (mut caller, mut target) = bench.connect().await;
    assert!(begun.elapsed() >= Duration::from_millis(30));
    caller.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut target, 5).await, b"hello");
    assert!(begun.elapsed() >= Duration::from_millis(90), "there, back, and there again: {:?}", begun.elapsed());
    let asked = Instant::now();
    target.write_all(b"world").await.unwrap();
    assert_eq!(read(&mut caller, 5).await, b"world");
    assert!(asked.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn a_partition_holds_bytes_ends_and_new_connections_and_resets_nothing() {
    let bench = Bench::new(Duration::ZERO).await;
    let (mut caller, mut target) = bench.connect().await;
    caller.write_all(b"first").await.unwrap();
    assert_eq!(read(&mut target, 5).await, b"first");
    bench.cut(&[THERE, THERE.back()], true);
    caller.write_all(b"held").await.unwrap();
    caller.shutdown().await.unwrap();
    target.write_all(b"too").await.unwrap();
    let mut late = TcpStream::connect(bench.address).await.unwrap();
    late.write_all(b"late").await.unwrap();
    bench
        .until("bytes are held", |traffic| {
            traffic.held_there.load(Ordering::Relaxed) == 4 && traffic.held_back.load(Ordering::Relaxed) == 3
        })
        .await;
    assert!(is_quiet(&mut target).await && is_quiet(&mut caller).await);
    assert!(timeout(NEVER, bench.target.accept()).await.is_err(), "no new connection either");
    bench.cut(&[THERE, THERE.back()], false);
    assert_eq!(read(&mut target, 4).await, b"held");
    assert_eq!(timeout(SOON, target.read(&mut [0])).await.unwrap().unwrap(), 0, "then the end");
    assert_eq!(read(&mut caller, 3).await, b"too");
    let (mut second, _) = timeout(SOON, bench.target.accept()).await.unwrap().unwrap();
    assert_eq!(read(&mut second, 4).await, b"late");
    drop((caller, target, late, second));
    bench.until("all is over", |traffic| traffic.connections.load(Ordering::Relaxed) == 0).await;
    assert_eq!(bench.traffic.held_there.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_one_way_partition_stalls_one_direction_only() {
    let bench = Bench::new(Duration::ZERO).await;
    let (mut caller, mut target) = bench.connect().await;
    caller.write_all(b"1").await.unwrap();
    assert_eq!(read(&mut target, 1).await, b"1", "the caller is heard");
    bench.cut(&[THERE], true);
    caller.write_all(b"2").await.unwrap();
    target.write_all(b"3").await.unwrap();
    assert_eq!(read(&mut caller, 1).await, b"3");
    assert!(is_quiet(&mut target).await);
    bench.cut(&[THERE], false);
    assert_eq!(read(&mut target, 1).await, b"2");
}

#[tokio::test]
async fn much_goes_through_whole_with_half_a_close() {
    let bench = Bench::new(Duration::from_millis(5)).await;
    let (mut caller, mut target) = bench.connect().await;
    let sent: Vec<u8> = (0..20_000_000_u32).map(|place| u8::try_from(place % 251).unwrap()).collect();
    let expected = sent.clone();
    let send = async move {
        caller.write_all(&sent).await.unwrap();
        caller.shutdown().await.unwrap();
        let mut answer = Vec::new();
        caller.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let receive = async move {
        let mut got = Vec::new();
        target.read_to_end(&mut got).await.unwrap();
        target.write_all(b"got it").await.unwrap();
        got
    };
    let (answer, got) = timeout(SOON, async { tokio::join!(send, receive) }).await.unwrap();
    assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
    assert_eq!(answer, b"got it");
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_sender_back() {
    let bench = Bench::new(Duration::ZERO).await;
    let (mut caller, target) = bench.connect().await;
    let flood = async {
        let chunk = vec![7; 1 << 20];
        for _ in 0..64 {
            caller.write_all(&chunk).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(2), flood).await.is_err(), "64 MiB find no place");
    assert!(bench.traffic.held_there.load(Ordering::Relaxed) <= 5 << 20, "{:?}", bench.traffic);
    drop(target);
}

#[tokio::test]
async fn a_reset_arrives_as_a_reset_and_nobody_is_a_reset_too() {
    let bench = Bench::new(Duration::from_millis(20)).await;
    let (caller, mut target) = bench.connect().await;
    caller.set_zero_linger().unwrap();
    drop(caller);
    let error = timeout(SOON, target.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let Bench { address, target: listener, traffic, links: _links, _tasks } = bench;
    drop(listener);
    let begun = Instant::now();
    let mut caller = TcpStream::connect(address).await.unwrap();
    let error = timeout(SOON, caller.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(begun.elapsed() >= Duration::from_millis(40), "there and back");
    assert_eq!(traffic.refused.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_caller_learns_that_a_target_broke_after_its_end() {
    let bench = Bench::new(Duration::ZERO).await;
    let (mut caller, mut target) = bench.connect().await;
    target.shutdown().await.unwrap();
    assert_eq!(timeout(SOON, caller.read(&mut [0])).await.unwrap().unwrap(), 0);
    drop(target);
    let talk = async {
        while caller.write_all(b"still there?").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, talk).await.expect("it notices");
}

#[tokio::test]
async fn who_hangs_up_before_the_link_is_healed_was_never_there() {
    let bench = Bench::new(Duration::ZERO).await;
    bench.cut(&[THERE], true);
    let caller = TcpStream::connect(bench.address).await.unwrap();
    bench.until("it is taken", |traffic| traffic.connections.load(Ordering::Relaxed) == 1).await;
    drop(caller);
    bench.until("it is forgotten", |traffic| traffic.connections.load(Ordering::Relaxed) == 0).await;
    bench.cut(&[THERE], false);
    assert!(timeout(NEVER, bench.target.accept()).await.is_err());
}

#[tokio::test]
async fn a_narrow_line_takes_its_time() {
    let bench = Bench::new(Duration::ZERO).await;
    let (mut caller, mut target) = bench.connect().await;
    bench.links.set(&[THERE], None, &Change { bandwidth: Some(Bandwidth::of(1_000_000).unwrap()), ..Change::default() }).unwrap();
    let begun = Instant::now();
    caller.write_all(&vec![1; 300_000]).await.unwrap();
    read(&mut target, 300_000).await;
    assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
}
