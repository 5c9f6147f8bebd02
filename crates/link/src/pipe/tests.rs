//! What a pipe promises, over random loads, shapes and times.

use proptest::prelude::*;

use super::*;
use crate::{
    quantity::{Bandwidth, Loss},
    shape::Shape,
};

/// One thing that happens, some time after the one before.
#[derive(Debug, Clone)]
enum Deed {
    Push(usize),
    Set(Shape),
    Look,
}

fn shape() -> impl Strategy<Value = Shape> {
    let bandwidth = prop_oneof![Just(Bandwidth::UNLIMITED), (1_000_u64..10_000_000).prop_map(|bytes| Bandwidth::of(bytes).unwrap())];
    let loss = prop_oneof![Just(0.0), 0.0..0.9].prop_map(|part| Loss::try_from(part).unwrap());
    (0_u64..500_000, 0_u64..100_000, loss, bandwidth, any::<bool>())
        .prop_map(|(latency_us, jitter_us, loss, bandwidth, partitioned)| Shape { latency_us, jitter_us, loss, bandwidth, partitioned })
}

fn deeds() -> impl Strategy<Value = Vec<(u64, Deed)>> {
    let deed = prop_oneof![4 => (1_usize..20_000).prop_map(Deed::Push), 1 => shape().prop_map(Deed::Set), 3 => Just(Deed::Look)];
    proptest::collection::vec((0_u64..200_000, deed), 1..60)
}

/// Dice that fall the same way for the same seed.
fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(state >> 32).unwrap()) / 4_294_967_296.0
    }
}

/// Bytes that tell their place, so that a loss or a swap is seen.
fn numbered(from: usize, count: usize) -> Bytes {
    (from..from + count).map(|place| u8::try_from(place % 251).unwrap()).collect::<Vec<_>>().into()
}

/// A pipe, its wire, and all that went in and came out.
struct Bench {
    pipe: Pipe,
    wire: Wire,
    now: Duration,
    version: u64,
    /// When each byte went in, and the shortest latency since.
    sent: Vec<(Duration, Duration)>,
    out: usize,
}

impl Bench {
    fn new(shape: Shape) -> Self {
        Self { pipe: Pipe::default(), wire: Wire::new(shape, 0), now: Duration::ZERO, version: 0, sent: Vec::new(), out: 0 }
    }

    fn push(&mut self, count: usize, dice: &mut impl FnMut() -> f64) {
        let bytes = numbered(self.sent.len(), count);
        let latency = self.wire.shape().latency();
        self.sent.extend(std::iter::repeat_n((self.now, latency), count));
        self.pipe.push(self.now, What::Data(bytes), &mut self.wire, dice);
    }

    fn set(&mut self, shape: Shape) {
        self.version += 1;
        self.wire.reshape(self.now, shape, self.version);
        for (_, latency) in &mut self.sent[self.out..] {
            *latency = shape.latency().min(*latency);
        }
        self.pipe.learn(self.now, &mut self.wire);
    }

    /// Takes out what is due, a part at a time.
    fn take(&mut self) -> Result<(), TestCaseError> {
        while let Next::At(due) = self.pipe.next(&self.wire) {
            if due > self.now {
                break;
            }
            prop_assert!(!self.wire.shape().partitioned, "nothing comes out of what is cut");
            let Some(What::Data(bytes)) = self.pipe.first() else { break };
            let part = bytes.slice(..bytes.len().div_ceil(2));
            prop_assert_eq!(&part, &numbered(self.out, part.len()), "in order, and nothing else");
            for (when, latency) in &self.sent[self.out..self.out + part.len()] {
                prop_assert!(self.now >= *when + *latency, "sent at {:?}, out at {:?}, latency {:?}", when, self.now, latency);
            }
            self.out += part.len();
            self.pipe.took(part.len());
        }
        Ok(())
    }

    /// Heals, and waits for all that is left.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        self.set(Shape::default());
        while let Next::At(due) = self.pipe.next(&self.wire) {
            if self.pipe.first().is_none_or(|what| what.len() == 0) {
                break;
            }
            self.now = self.now.max(due);
            self.take()?;
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn bytes_come_out_whole_in_order_and_never_too_soon(first in shape(), deeds in deeds(), seed: u64) {
        let (mut bench, mut dice) = (Bench::new(first), dice(seed));
        for (pause, deed) in deeds {
            bench.now += Duration::from_micros(pause);
            match deed {
                Deed::Push(count) => bench.push(count, &mut dice),
                Deed::Set(shape) => bench.set(shape),
                Deed::Look => bench.take()?,
            }
            prop_assert_eq!(bench.pipe.held(), bench.sent.len() - bench.out);
        }
        bench.pipe.push(bench.now, What::End, &mut bench.wire, &mut dice);
        bench.drain()?;
        prop_assert_eq!(bench.out, bench.sent.len());
        prop_assert_eq!(bench.pipe.first(), Some(&What::End), "the end comes last");
        prop_assert_eq!(bench.pipe.held(), 0);
    }

    #[test]
    fn no_more_than_the_bandwidth_gets_through(a_second in 1_000_u64..1_000_000, sizes in proptest::collection::vec(1_usize..50_000, 1..30)) {
        let mut bench = Bench::new(Shape { bandwidth: Bandwidth::of(a_second).unwrap(), ..Shape::default() });
        let mut other = Pipe::default();
        let mut total = 0_u64;
        for size in sizes {
            bench.push(size, &mut || 1.0);
            // Another connection shares the wire.
            other.push(bench.now, What::Data(numbered(0, size)), &mut bench.wire, &mut || 1.0);
            total += 2 * u64::try_from(size).unwrap();
        }
        let Next::At(_) = other.next(&bench.wire) else { panic!("it is under way") };
        let last = other.pieces.back().unwrap().due;
        let least = Duration::from_secs_f64(f64::from(u32::try_from(total).unwrap()) / f64::from(u32::try_from(a_second).unwrap()));
        prop_assert!(last + Duration::from_micros(1) >= least, "{last:?} of {least:?}");
    }
}

const SLOW: Shape = Shape { latency_us: 20_000, jitter_us: 0, loss: Loss::NONE, bandwidth: Bandwidth::UNLIMITED, partitioned: false };

#[test]
fn a_line_is_a_pipe_many_are_under_way_at_once() {
    let mut bench = Bench::new(SLOW);
    for milli in 0..10 {
        bench.now = Duration::from_millis(milli);
        bench.push(1_000, &mut || 1.0);
    }
    let dues: Vec<_> = bench.pipe.pieces.iter().map(|piece| piece.due.as_millis()).collect();
    assert_eq!(dues, (20..30).collect::<Vec<_>>());
}

#[test]
fn what_was_cut_off_travels_again() {
    let mut bench = Bench::new(SLOW);
    bench.push(10, &mut || 1.0);
    bench.now = Duration::from_millis(5);
    bench.set(Shape { partitioned: true, ..SLOW });
    assert_eq!(bench.pipe.next(&bench.wire), Next::Cut);
    bench.now = Duration::from_secs(300);
    bench.set(SLOW);
    assert_eq!(bench.pipe.next(&bench.wire), Next::At(Duration::from_millis(300_020)));
}

#[test]
fn a_lost_packet_holds_up_itself_and_those_behind_it() {
    let shape = Shape { loss: Loss::try_from(0.5).unwrap(), ..SLOW };
    let mut bench = Bench::new(shape);
    // The second packet is lost once, no other is.
    let mut falls = [0.9, 0.1, 0.9, 0.9].into_iter();
    bench.push(3 * PACKET, &mut || falls.next().unwrap());
    let dues: Vec<_> = bench.pipe.pieces.iter().map(|piece| (piece.what.len() / PACKET, piece.due.as_millis())).collect();
    assert_eq!(dues, [(1, 20), (2, 260)]);
}

#[test]
fn a_shorter_latency_holds_at_once() {
    let mut bench = Bench::new(Shape { latency_us: 60_000_000, ..SLOW });
    bench.push(10, &mut || 1.0);
    bench.set(SLOW);
    assert_eq!(bench.pipe.next(&bench.wire), Next::At(Duration::from_millis(20)));
}
