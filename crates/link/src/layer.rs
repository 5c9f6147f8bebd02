//! Every direction's shape: the normal one, what was set for the direction, and what was set for one protocol alone. Pure.
//!
//! Protocols share their direction's wire, until one of them gets a shape of its own: then it has a wire of its own as well.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    shape::{Change, Shape},
    site::Site,
    table::Table,
    wire::Wire,
};

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Way {
    /// Where bytes come from.
    pub from: Site,
    /// Where they go.
    pub to: Site,
}

impl Way {
    /// The other way.
    #[must_use]
    pub const fn back(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

/// No link there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Nothing connects the two sites.
    #[error("no link connects {} and {}", .0.from, .0.to)]
    Way(Way),
    /// They do not speak this.
    #[error("nothing between {} and {} speaks '{protocol}'; known are {known}", way.from, way.to)]
    Protocol {
        /// Where it was looked for.
        way: Way,
        /// What was looked for.
        protocol: String,
        /// What is there.
        known: String,
    },
}

/// What was set and is to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// For which direction.
    pub way: Way,
    /// For which protocol alone, if for one.
    pub protocol: Option<String>,
    /// What differs from the normal.
    pub change: Change,
}

/// One direction of one protocol, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flow {
    /// The direction.
    #[serde(flatten)]
    pub way: Way,
    /// What is spoken.
    pub protocol: String,
    /// True when it has a shape and a wire of its own.
    pub is_apart: bool,
    /// What it is like.
    #[serde(flatten)]
    pub shape: Shape,
}

#[derive(Debug)]
struct Direction {
    change: Change,
    wire: Wire,
    /// Each protocol, with what was set for it alone.
    protocols: BTreeMap<String, Option<(Change, Wire)>>,
}

/// All directions.
#[derive(Debug)]
pub struct Layer {
    normal: Shape,
    directions: BTreeMap<Way, Direction>,
    version: u64,
}

impl Layer {
    /// All directions of these links, of which `normal` is true unless something else was set.
    #[must_use]
    pub fn new(table: &Table, normal: Shape, kept: &[Kept]) -> Self {
        let mut directions = BTreeMap::<Way, Direction>::new();
        for link in &table.0 {
            let way = Way { from: link.from, to: link.to };
            for way in [way, way.back()] {
                let new = || Direction { change: Change::default(), wire: Wire::new(normal, 0), protocols: BTreeMap::new() };
                directions.entry(way).or_insert_with(new).protocols.insert(link.protocol.clone(), None);
            }
        }
        let mut layer = Self { normal, directions, version: 0 };
        // The directions first: what is set for them is taken out of what their protocols have alone. What leads nowhere any more is forgotten.
        for alone in [false, true] {
            for Kept { way, protocol, change } in kept.iter().filter(|kept| kept.protocol.is_some() == alone) {
                let _ = layer.set(Duration::ZERO, &[*way], protocol.as_deref(), change);
            }
        }
        layer
    }

    /// Grows with each change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The wire that carries a protocol in a direction.
    ///
    /// # Panics
    /// When no link of the table goes there.
    pub(crate) fn wire(&mut self, way: Way, protocol: &str) -> &mut Wire {
        let Direction { wire, protocols, .. } = self.directions.get_mut(&way).expect("links are of the table");
        match protocols.get_mut(protocol) {
            Some(Some((_, own))) => own,
            _ => wire,
        }
    }

    /// Changes some directions, all or none. What is set for a direction as a whole holds for all its protocols.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn set(&mut self, now: Duration, ways: &[Way], protocol: Option<&str>, change: &Change) -> Result<(), Unknown> {
        for way in ways {
            self.known(*way, protocol)?;
        }
        let version = self.version + 1;
        for way in ways {
            let Some(direction) = self.directions.get_mut(way) else { continue };
            match protocol {
                None => {
                    direction.change = direction.change.then(change);
                    for own in direction.protocols.values_mut() {
                        *own = own.take().map(|(own, wire)| (own.except(change), wire)).filter(|(own, _)| !own.is_empty());
                    }
                }
                Some(protocol) => {
                    let wire = &direction.wire;
                    let own = direction.protocols.get_mut(protocol).expect("it was looked for");
                    let (before, wire) = own.take().unwrap_or_else(|| (Change::default(), Wire::new(*wire.shape(), version)));
                    *own = Some((before.then(change), wire));
                }
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Forgets all that was set.
    pub fn reset(&mut self, now: Duration) {
        for direction in self.directions.values_mut() {
            direction.change = Change::default();
            direction.protocols.values_mut().for_each(|own| *own = None);
        }
        self.settle(now);
    }

    fn known(&self, way: Way, protocol: Option<&str>) -> Result<(), Unknown> {
        let direction = self.directions.get(&way).ok_or(Unknown::Way(way))?;
        match protocol {
            Some(protocol) if !direction.protocols.contains_key(protocol) => {
                let known = direction.protocols.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(Unknown::Protocol { way, protocol: protocol.chars().take(40).collect(), known })
            }
            _ => Ok(()),
        }
    }

    fn settle(&mut self, now: Duration) {
        self.version += 1;
        let (normal, version) = (self.normal, self.version);
        for Direction { change, wire, protocols } in self.directions.values_mut() {
            let shape = normal.with(change);
            wire.reshape(now, shape, version);
            for (own, wire) in protocols.values_mut().flatten() {
                wire.reshape(now, shape.with(own), version);
            }
        }
    }

    /// What was set.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        let mut kept = Vec::new();
        for (way, direction) in &self.directions {
            let mut keep = |protocol: Option<&String>, change: &Change| {
                if !change.is_empty() {
                    kept.push(Kept { way: *way, protocol: protocol.cloned(), change: *change });
                }
            };
            keep(None, &direction.change);
            for (protocol, own) in &direction.protocols {
                own.iter().for_each(|(change, _)| keep(Some(protocol), change));
            }
        }
        kept
    }

    /// Each protocol in each direction.
    #[must_use]
    pub fn flows(&self) -> Vec<Flow> {
        let each = self.directions.iter().flat_map(|(way, direction)| direction.protocols.iter().map(move |own| (way, direction, own)));
        each.map(|(way, direction, (protocol, own))| {
            let wire = own.as_ref().map_or(&direction.wire, |(_, wire)| wire);
            Flow { way: *way, protocol: protocol.clone(), is_apart: own.is_some(), shape: *wire.shape() }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Bandwidth;

    const THERE: Way = Way { from: Site::Eu, to: Site::Us };

    fn table() -> Table {
        "eu/us/cart=127.0.0.1:1>127.0.0.1:2,us/eu/cart=127.0.0.1:3>127.0.0.1:4,us/eu/nats=127.0.0.1:5>127.0.0.1:6".parse().unwrap()
    }

    fn normal() -> Shape {
        Shape::of_latency(Duration::from_millis(20))
    }

    fn shape_of(layer: &Layer, way: Way, protocol: &str) -> Shape {
        layer.flows().into_iter().find(|flow| flow.way == way && flow.protocol == protocol).unwrap().shape
    }

    fn cut() -> Change {
        Change { partitioned: Some(true), ..Change::default() }
    }

    #[test]
    fn one_direction_is_cut_and_the_other_is_not() {
        let mut layer = Layer::new(&table(), normal(), &[]);
        layer.set(Duration::ZERO, &[THERE], None, &cut()).unwrap();
        assert!(shape_of(&layer, THERE, "nats").partitioned && layer.wire(THERE, "nats").shape().partitioned);
        assert_eq!(shape_of(&layer, THERE.back(), "nats"), normal());
        layer.reset(Duration::ZERO);
        assert_eq!((shape_of(&layer, THERE, "nats"), layer.version()), (normal(), 2));
    }

    #[test]
    fn a_protocol_is_set_alone_until_all_are_set() {
        let slow = Change { latency_us: Some(500_000), ..Change::default() };
        let narrow = Change { bandwidth: Some(Bandwidth::of(1_000_000).unwrap()), ..Change::default() };
        let mut layer = Layer::new(&table(), normal(), &[]);
        layer.set(Duration::ZERO, &[THERE], Some("nats"), &slow.then(&narrow)).unwrap();
        assert_eq!(shape_of(&layer, THERE, "cart"), normal());
        layer.set(Duration::ZERO, &[THERE], None, &Change { latency_us: Some(1), ..Change::default() }).unwrap();
        let flows = layer.flows();
        let nats = flows.iter().find(|flow| flow.way == THERE && flow.protocol == "nats").unwrap();
        assert!(nats.is_apart && nats.shape.latency_us == 1 && nats.shape.bandwidth.bytes() == Some(1_000_000), "{nats:?}");
        layer.set(Duration::ZERO, &[THERE], None, &Change { bandwidth: Some(Bandwidth::UNLIMITED), ..Change::default() }).unwrap();
        assert!(layer.flows().iter().all(|flow| !flow.is_apart), "nothing is left of its own");
    }

    #[test]
    fn what_was_set_is_kept_and_what_is_unknown_refused() {
        let mut layer = Layer::new(&table(), normal(), &[]);
        layer.set(Duration::ZERO, &[THERE, THERE.back()], None, &cut()).unwrap();
        layer.set(Duration::ZERO, &[THERE], Some("cart"), &Change { partitioned: Some(false), ..Change::default() }).unwrap();
        let kept = layer.kept();
        let text = serde_json::to_string(&kept).unwrap();
        let again = Layer::new(&table(), normal(), &serde_json::from_str::<Vec<Kept>>(&text).unwrap());
        assert_eq!((again.flows(), again.kept()), (layer.flows(), kept));

        let nowhere = Way { from: Site::Eu, to: Site::Witness };
        assert_eq!(layer.set(Duration::ZERO, &[nowhere], None, &cut()), Err(Unknown::Way(nowhere)));
        let error = layer.set(Duration::ZERO, &[THERE], Some("smtp"), &cut()).unwrap_err();
        assert!(error.to_string().ends_with("'smtp'; known are cart, nats"), "{error}");
    }
}
