//! What runs, where, and in which order. Pure: tables in, a list of steps out.
//!
//! ```text
//! postgres -> databases -> migrations -+-> mirror -+
//! kafka -> topics ---------------------------------+-> services, bff -> edge -+-> shop answers
//! temporal, nats, psp, links ----------------------+-> catalog --------------+
//! ```
//! What one region says to the other goes through `links`; [`Ports::links`] is the list.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use config::Checkout;
use ids::Region;
use link::{Link, Site, Table};

use crate::home::Secrets;

/// Where a part runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In one region.
    In(Region),
    /// At the third site, which has a vote and no shoppers.
    Witness,
    /// Once, outside both regions.
    Global,
}

impl Place {
    /// The name shown and used in file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In(region) => region.as_str(),
            Self::Witness => "witness",
            Self::Global => "global",
        }
    }
}

impl Place {
    /// Its site of the coordinator.
    fn site(self) -> Site {
        match self {
            Self::In(region) => region.into(),
            Self::Witness | Self::Global => Site::Witness,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of process a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// One Kafka broker and controller, with its node id (from 1).
    Kafka(u16),
    /// The Temporal dev server.
    Temporal,
    /// nats-server.
    Nats,
    /// One of our own binaries, named as the part.
    Service,
}

/// A port that a part listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// What it is for.
    pub label: &'static str,
    /// Its number.
    pub number: u16,
}

/// A process that is kept running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name within its place.
    pub name: String,
    /// Where it runs.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
    /// Ports; the first is the one that others call.
    pub ports: Vec<Port>,
}

impl Part {
    /// `eu/order`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.place, self.name)
    }

    /// The port that others call.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports[0].number
    }

    /// The port that a service answers `/readyz` on.
    #[must_use]
    pub fn admin(&self) -> u16 {
        self.port() + ADMIN
    }

    /// How far it steps back when processors are short: those that keep time go first, or a machine that has too much to do would lose its leases. Then
    /// Kafka, which needs seconds of processor time to come back, and which all wait for.
    #[must_use]
    pub fn nice(&self) -> i32 {
        match (self.kind, self.name.as_str()) {
            (Kind::Service, "coordinator" | "links" | "region") => 0,
            (Kind::Kafka(_), _) => 2,
            _ => 5,
        }
    }

    /// Parts stop from the highest layer down.
    #[must_use]
    pub fn layer(&self) -> u8 {
        match (self.kind, self.name.as_str()) {
            (Kind::Service, "edge") => 4,
            (Kind::Service, "bff") => 3,
            (Kind::Service, "psp" | "links" | "coordinator") => 1,
            (Kind::Service, _) => 2,
            _ => 0,
        }
    }
}

/// Something to do once on the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Database, roles and schemas.
    Databases(Region),
    /// Each service's migrations.
    Migrations(Region),
    /// Subscriptions between the regions' databases.
    Mirror,
    /// Kafka topics.
    Topics(Region),
    /// The catalog's items and stock.
    Catalog(Region),
    /// The shop answers through every door.
    Shop,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a part and keep it running.
    Run(Part),
    /// Do something once.
    Do(Job),
}

/// One line of `up`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Unique, e.g. `eu/postgres`, `mirror`.
    pub id: String,
    /// Steps that must be done before.
    pub needs: Vec<String>,
    /// What it does.
    pub action: Action,
}

/// Port numbers: a table and a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// Added to each number.
    pub shift: u16,
    /// The edge's own port, not shifted.
    pub edge: Option<u16>,
}

/// The largest shift that leaves every port below 32768, where the kernel starts to hand out ports of its own.
pub const MAX_SHIFT: u16 = 8_000;

/// The services with a schema and a role of their own.
pub const OWNERS: [&str; 5] = ["region", "cart", "inventory", "payment", "order"];
/// Those of them that migrate their schema; that of `region` is made with the database.
pub const MIGRATED: [&str; 4] = ["cart", "inventory", "payment", "order"];

/// Services of a region and their offset in its port range.
const SERVICES: [(&str, u16); 7] =
    [("cart", 101), ("inventory", 102), ("payment", 103), ("order", 104), ("search", 105), ("region", 107), ("bff", 80)];

/// An admin port is the service's own plus this.
const ADMIN: u16 = 500;

/// What the regions say to one another, and the offset where it is listened to.
const ACROSS: [(&str, u16); 5] = [("postgres", POSTGRES), ("kafka", PEER), ("nats", LEAF), ("cart", 101), ("region", 107)];
const POSTGRES: u16 = 432;
/// Where a site of the coordinator listens for clients; for the other sites it is the next one.
const COORDINATOR: u16 = 379;
/// Where the first broker listens for the other region; the others come after it.
const PEER: u16 = 192;
const LEAF: u16 = 223;

/// A link listens in the range of the region that dials, at the offset where it leads plus this.
const LINK: u16 = 300;

/// Where two sites lie beyond one range at the same offset, the links to the second of them are that much further up.
const SECOND: u16 = 10;

/// How long a site of the coordinator waits for its leader: some round trips, and well below the three seconds of a lease.
const ELECTION_TIMEOUT: &str = "400ms";

/// Between the regions, there and back, when nothing else is said.
pub const LINK_LATENCY: Duration = Duration::from_millis(40);

impl Ports {
    fn regional(self, region: Region, offset: u16) -> u16 {
        self.at(region.into(), offset)
    }

    fn at(self, site: Site, offset: u16) -> u16 {
        let base = match site {
            Site::Eu => 21_000,
            Site::Us => 22_000,
            Site::Witness => 23_000,
        };
        base + offset + self.shift
    }

    /// Where a site of the coordinator listens: clients, other sites.
    #[must_use]
    pub fn coordinator(self, site: Site) -> (u16, u16) {
        (self.at(site, COORDINATOR), self.at(site, COORDINATOR + 1))
    }

    /// Where a site dials to reach another one of the coordinator: clients, other sites.
    fn coordinator_across(self, from: Site, to: Site) -> (u16, u16) {
        let is_second = Site::ALL.into_iter().filter(|site| *site != from).position(|site| site == to) == Some(1);
        let offset = COORDINATOR + LINK + if is_second { SECOND } else { 0 };
        (self.at(from, offset), self.at(from, offset + 1))
    }

    /// The client addresses of all sites of the coordinator, as a region dials them: its own first.
    fn coordinators(self, region: Region) -> String {
        let own = Site::from(region);
        let others = Site::ALL.into_iter().filter(|site| *site != own).map(|site| self.coordinator_across(own, site).0);
        let all = std::iter::once(self.coordinator(own).0).chain(others);
        all.map(|port| format!("http://127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    /// What a site of the coordinator has to know: who all are, and where it calls the others.
    fn coordinator_settings(self, site: Site) -> [(&'static str, String); 8] {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let name = |site: Site| url(self.coordinator(site).1);
        let others = Site::ALL.into_iter().filter(|other| *other != site);
        let routes = others.map(|other| format!("{}={}", name(other), url(self.coordinator_across(site, other).1)));
        let (clients, peers) = self.coordinator(site);
        [
            ("NODE_NAME", site.to_string()),
            ("PEER_LISTEN_ADDR", format!("127.0.0.1:{peers}")),
            ("PEER_URL", name(site)),
            ("CLIENT_URLS", url(clients)),
            ("INITIAL_CLUSTER", Site::ALL.map(name).join(",")),
            ("PEER_ROUTES", routes.collect::<Vec<_>>().join(",")),
            ("ELECTION_TIMEOUT", ELECTION_TIMEOUT.to_owned()),
            ("REGION", site.to_string()),
        ]
    }

    /// Where PostgreSQL listens.
    #[must_use]
    pub fn postgres(self, region: Region) -> u16 {
        self.regional(region, POSTGRES)
    }

    /// Where a broker listens: client port, controller port.
    #[must_use]
    pub fn kafka(self, region: Region, node: u16) -> (u16, u16) {
        let first = self.regional(region, 92 + 2 * (node - 1));
        (first, first + 1)
    }

    /// Where a broker listens for the other region, and what it tells it: the link that leads there.
    #[must_use]
    pub fn kafka_peer(self, region: Region, node: u16) -> (u16, u16) {
        let offset = PEER + node - 1;
        (self.regional(region, offset), self.regional(region.peer(), offset + LINK))
    }

    /// Where a region dials to reach the other's `protocol`: its end of the link.
    ///
    /// # Panics
    /// When nothing across is called that.
    #[must_use]
    pub fn across(self, from: Region, protocol: &str) -> u16 {
        let (_, offset) = ACROSS.iter().find(|(known, _)| *known == protocol).expect("it is in the table");
        self.regional(from, offset + LINK)
    }

    /// Every link.
    #[must_use]
    pub fn links(self, brokers: u16) -> Table {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let mut links = Vec::new();
        for from in Region::ALL {
            for (protocol, offset) in ACROSS {
                let count = match protocol {
                    "kafka" => brokers,
                    "nats" => u16::from(dials_leaf(from)),
                    _ => 1,
                };
                links.extend((offset..offset + count).map(|offset| Link {
                    from: from.into(),
                    to: from.peer().into(),
                    protocol: protocol.to_owned(),
                    listen: at(self.regional(from, offset + LINK)),
                    target: at(self.regional(from.peer(), offset)),
                }));
            }
        }
        for (from, to) in
            Site::ALL.into_iter().flat_map(|from| Site::ALL.into_iter().map(move |to| (from, to))).filter(|(from, to)| from != to)
        {
            let (listen, target) = (self.coordinator_across(from, to), self.coordinator(to));
            let mut link = |protocol: &str, listen: u16, target: u16| {
                links.push(Link { from, to, protocol: protocol.to_owned(), listen: at(listen), target: at(target) });
            };
            // No client lives at the witness.
            if from != Site::Witness {
                link("coordinator", listen.0, target.0);
            }
            link("raft", listen.1, target.1);
        }
        Table(links)
    }

    /// Where Temporal listens: gRPC, web pages.
    #[must_use]
    pub fn temporal(self, region: Region) -> (u16, u16) {
        (self.regional(region, 233), self.regional(region, 234))
    }

    /// Where NATS listens: clients, leaf nodes.
    #[must_use]
    pub fn nats(self, region: Region) -> (u16, u16) {
        (self.regional(region, 222), self.regional(region, LEAF))
    }

    /// Where a service listens.
    ///
    /// # Panics
    /// When there is no such service.
    #[must_use]
    pub fn service(self, place: Place, name: &str) -> u16 {
        match (place, name) {
            (Place::Global, "edge") => self.edge.unwrap_or(8_080 + self.shift),
            (Place::Global, "psp") => 20_110 + self.shift,
            (Place::Global, "links") => 20_120 + self.shift,
            (place, "coordinator") => self.coordinator(place.site()).0,
            (Place::In(region), _) => {
                let (_, offset) = SERVICES.iter().find(|(known, _)| *known == name).expect("the service is in the table");
                self.regional(region, *offset)
            }
            (Place::Witness | Place::Global, _) => unreachable!("edge, psp and links are the only global services"),
        }
    }

    /// A region's brokers, as clients want them.
    #[must_use]
    pub fn bootstrap(self, region: Region, brokers: u16) -> String {
        (1..=brokers).map(|node| format!("127.0.0.1:{}", self.kafka(region, node).0)).collect::<Vec<_>>().join(",")
    }

    /// A region's brokers, as clients in the other region want them.
    #[must_use]
    pub fn peer_bootstrap(self, region: Region, brokers: u16) -> String {
        (1..=brokers).map(|node| format!("127.0.0.1:{}", self.kafka_peer(region, node).1)).collect::<Vec<_>>().join(",")
    }

    /// A service's base address.
    #[must_use]
    pub fn url(self, place: Place, name: &str) -> String {
        format!("http://127.0.0.1:{}", self.service(place, name))
    }
}

/// The whole of both regions.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Port numbers.
    pub ports: Ports,
    /// Brokers in each region, 1 or 3.
    pub brokers: u16,
    /// How orders come to their end.
    pub checkout: Checkout,
    /// Between the regions, there and back.
    pub link_latency: Duration,
    /// Every step; a step comes after those that it needs.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Everything, or with `engines_only` just the engines, their databases and topics.
    #[must_use]
    pub fn new(ports: Ports, brokers: u16, engines_only: bool) -> Self {
        let mut plan = Self { ports, brokers, checkout: Checkout::Saga, link_latency: LINK_LATENCY, steps: Vec::new() };
        for region in Region::ALL {
            plan.engines(region);
        }
        if !engines_only {
            plan.services();
        }
        plan
    }

    /// The same with orders that come to their end by `checkout`.
    #[must_use]
    pub fn checked_out_by(self, checkout: Checkout) -> Self {
        Self { checkout, ..self }
    }

    /// The same with regions that are so far apart, there and back.
    #[must_use]
    pub fn linked_within(self, link_latency: Duration) -> Self {
        Self { link_latency, ..self }
    }

    /// The parts among the steps.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Run(part) => Some(part),
            Action::Do(_) => None,
        })
    }

    fn run(&mut self, place: Place, name: &str, kind: Kind, ports: &[(&'static str, u16)], needs: &[String]) {
        let ports = ports.iter().map(|&(label, number)| Port { label, number }).collect();
        let part = Part { name: name.to_owned(), place, kind, ports };
        self.steps.push(Step { id: part.id(), needs: needs.to_vec(), action: Action::Run(part) });
    }

    fn job(&mut self, id: &str, job: Job, needs: &[String]) {
        self.steps.push(Step { id: id.to_owned(), needs: needs.to_vec(), action: Action::Do(job) });
    }

    fn engines(&mut self, region: Region) {
        let place = Place::In(region);
        let at = |name: &str| format!("{region}/{name}");
        self.run(place, "postgres", Kind::Postgres, &[("sql", self.ports.postgres(region))], &[]);
        for node in 1..=self.brokers {
            let (clients, controller) = self.ports.kafka(region, node);
            let ports = [("kafka", clients), ("controller", controller), ("peer", self.ports.kafka_peer(region, node).0)];
            self.run(place, &kafka_name(node), Kind::Kafka(node), &ports, &[]);
        }
        let (grpc, ui) = self.ports.temporal(region);
        self.run(place, "temporal", Kind::Temporal, &[("grpc", grpc), ("ui", ui)], &[]);
        let (clients, leaf) = self.ports.nats(region);
        self.run(place, "nats", Kind::Nats, &[("nats", clients), ("leaf", leaf)][..if dials_leaf(region) { 1 } else { 2 }], &[]);
        self.job(&at("databases"), Job::Databases(region), &[at("postgres")]);
        let brokers: Vec<_> = (1..=self.brokers).map(|node| at(&kafka_name(node))).collect();
        self.job(&at("topics"), Job::Topics(region), &brokers);
    }

    fn services(&mut self) {
        for region in Region::ALL {
            self.job(&format!("{region}/migrations"), Job::Migrations(region), &[format!("{region}/databases")]);
        }
        self.links();
        for place in [Place::In(Region::Eu), Place::In(Region::Us), Place::Witness] {
            self.coordinator(place);
        }
        let needs = Region::ALL.map(|region| format!("{region}/migrations")).into_iter().chain(["global/links".to_owned()]);
        self.job("mirror", Job::Mirror, &needs.collect::<Vec<_>>());
        self.service(Place::Global, "psp", &[]);
        for region in Region::ALL {
            let mut needs = vec!["mirror".to_owned(), "global/psp".to_owned()];
            needs.extend(["topics", "temporal", "nats"].map(|name| format!("{region}/{name}")));
            for (name, _) in SERVICES {
                let region_needs = ["mirror".to_owned(), format!("{region}/coordinator")];
                self.service(Place::In(region), name, if name == "region" { &region_needs } else { &needs });
            }
            self.job(&format!("{region}/catalog"), Job::Catalog(region), &["inventory", "region"].map(|name| format!("{region}/{name}")));
        }
        self.service(Place::Global, "edge", &Region::ALL.map(|region| format!("{region}/bff")));
        let everything: Vec<_> = self.steps.iter().map(|step| step.id.clone()).collect();
        self.job("shop", Job::Shop, &everything);
    }

    fn links(&mut self) {
        let port = self.ports.service(Place::Global, "links");
        let mut ports = vec![("http", port), ("admin", port + ADMIN)];
        ports.extend(self.ports.links(self.brokers).0.iter().map(|link| ("link", link.listen.port())));
        self.run(Place::Global, "links", Kind::Service, &ports, &[]);
    }

    fn coordinator(&mut self, place: Place) {
        let (clients, peers) = self.ports.coordinator(place.site());
        let ports = [("grpc", clients), ("peers", peers), ("admin", clients + ADMIN)];
        self.run(place, "coordinator", Kind::Service, &ports, &[]);
    }

    fn service(&mut self, place: Place, name: &str, needs: &[String]) {
        let port = self.ports.service(place, name);
        self.run(place, name, Kind::Service, &[("http", port), ("admin", port + ADMIN)], needs);
    }

    /// The settings of a service, by the names that people know.
    #[must_use]
    pub fn environment(&self, part: &Part, secrets: &Secrets, data_dir: &str) -> BTreeMap<String, String> {
        let ports = self.ports;
        let mut env = BTreeMap::new();
        let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
        set("LISTEN_ADDR", format!("127.0.0.1:{}", part.port()));
        set("ADMIN_ADDR", format!("127.0.0.1:{}", part.port() + ADMIN));
        set("DATA_DIR", data_dir.to_owned());
        set("PSP_WEBHOOK_SECRET", secrets.psp_webhook.clone());
        // Two arenas are enough for a service of this size; the default of eight per core is what makes small processes big.
        set("MALLOC_ARENA_MAX", "2".to_owned());
        if part.name == "coordinator" {
            ports.coordinator_settings(part.place.site()).into_iter().for_each(|(name, value)| drop(set(name, value)));
            return env;
        }
        let Place::In(region) = part.place else {
            set("BFF_EU_ADDR", ports.url(Place::In(Region::Eu), "bff"));
            set("BFF_US_ADDR", ports.url(Place::In(Region::Us), "bff"));
            set("REGION_EU_ADDR", ports.url(Place::In(Region::Eu), "region"));
            set("REGION_US_ADDR", ports.url(Place::In(Region::Us), "region"));
            if part.name == "links" {
                set("LINKS", ports.links(self.brokers).to_string());
                set("LINK_LATENCY", humantime::format_duration(self.link_latency).to_string());
            }
            return env;
        };
        if part.name == "bff" {
            set("SESSION_SECRET", secrets.session.clone());
        }
        set("REGION", region.to_string());
        set("CHECKOUT", self.checkout.to_string());
        if let Some(password) = secrets.roles.get(&part.name) {
            let name = &part.name;
            set("DATABASE_URL", format!("postgres://{name}:{password}@127.0.0.1:{}/market", ports.postgres(region)));
        }
        set("KAFKA_BOOTSTRAP_SERVERS", ports.bootstrap(region, self.brokers));
        set("PEER_KAFKA_BOOTSTRAP_SERVERS", ports.peer_bootstrap(region.peer(), self.brokers));
        set("TEMPORAL_ADDRESS", format!("127.0.0.1:{}", ports.temporal(region).0));
        set("TEMPORAL_NAMESPACE", "default".to_owned());
        set("NATS_URL", format!("nats://127.0.0.1:{}", ports.nats(region).0));
        for name in ["cart", "inventory", "payment", "order", "search"] {
            set(&format!("{}_ADDR", name.to_uppercase()), ports.url(Place::In(region), name));
        }
        set("PEER_CART_ADDR", format!("http://127.0.0.1:{}", ports.across(region, "cart")));
        set("PSP_ADDR", ports.url(Place::Global, "psp"));
        set("COORDINATOR_ADDRS", ports.coordinators(region));
        set("REGION_ADDR", ports.url(Place::In(region), "region"));
        set("PEER_REGION_ADDR", format!("http://127.0.0.1:{}", ports.across(region, "region")));
        env
    }
}

/// The first broker is simply `kafka`.
fn kafka_name(node: u16) -> String {
    if node == 1 { "kafka".to_owned() } else { format!("kafka-{node}") }
}

/// The us server dials the eu one, so only eu listens for leaf nodes.
fn dials_leaf(region: Region) -> bool {
    region == Region::Us
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all_ports(plan: &Plan) -> Vec<u16> {
        plan.parts().flat_map(|part| part.ports.iter().map(|port| port.number)).collect()
    }

    #[test]
    fn no_port_is_used_twice() {
        for brokers in [1, 3] {
            let ports = all_ports(&Plan::new(Ports::default(), brokers, false));
            let unique: BTreeSet<_> = ports.iter().collect();
            assert_eq!(ports.len(), unique.len());
        }
    }

    #[test]
    fn a_shift_moves_every_port_and_stays_below_the_kernels_own() {
        let plan = Plan::new(Ports::default(), 3, false);
        let shifted = Plan::new(Ports { shift: MAX_SHIFT, edge: None }, 3, false);
        for (before, after) in all_ports(&plan).into_iter().zip(all_ports(&shifted)) {
            assert_eq!(before + MAX_SHIFT, after);
            assert!(after < 32_768);
        }
    }

    #[test]
    fn a_link_leads_to_a_port_that_a_part_of_the_other_region_listens_on() {
        for brokers in [1, 3] {
            let plan = Plan::new(Ports { shift: 100, edge: None }, brokers, false);
            let table = plan.ports.links(brokers);
            assert_eq!(table.to_string().parse(), Ok(table.clone()), "the links read what they are given");
            // Each region's databases, carts and regions; the leaf; 4 of clients and 6 of sites of the coordinator.
            assert_eq!(table.0.len(), 7 + 2 * usize::from(brokers) + 10);
            for link in &table.0 {
                let listens = |part: &&Part| part.ports.iter().any(|port| port.number == link.target.port());
                let part = plan.parts().find(listens).unwrap_or_else(|| panic!("{link}"));
                assert_eq!(part.place.as_str(), link.to.as_str(), "{link}");
            }
        }
    }

    #[test]
    fn a_region_dials_the_other_through_its_end_of_the_link() {
        let plan = Plan::new(Ports::default(), 3, false).linked_within(Duration::ZERO);
        let settings = |id: &str| {
            let part = plan.parts().find(|part| part.id() == id).unwrap();
            plan.environment(part, &Secrets::default(), "/data")
        };
        let cart = settings("us/cart");
        assert_eq!(cart["PEER_KAFKA_BOOTSTRAP_SERVERS"], "127.0.0.1:22492,127.0.0.1:22493,127.0.0.1:22494");
        assert_eq!(cart["PEER_CART_ADDR"], "http://127.0.0.1:22401");
        let links = settings("global/links");
        assert!(links["LINKS"].contains("us/eu/kafka=127.0.0.1:22492>127.0.0.1:21192"), "{}", links["LINKS"]);
        assert!(links["LINKS"].contains("eu/us/postgres=127.0.0.1:21732>127.0.0.1:22432"), "{}", links["LINKS"]);
        assert_eq!(links["LINK_LATENCY"], "0s");
    }

    #[test]
    fn sites_of_the_coordinator_have_one_name_everywhere_and_are_called_through_links() {
        let plan = Plan::new(Ports::default(), 1, false);
        let settings = |id: &str| {
            let part = plan.parts().find(|part| part.id() == id).unwrap();
            plan.environment(part, &Secrets::default(), "/data")
        };
        let (us, witness) = (settings("us/coordinator"), settings("witness/coordinator"));
        assert_eq!(us["INITIAL_CLUSTER"], "http://127.0.0.1:21380,http://127.0.0.1:22380,http://127.0.0.1:23380");
        assert_eq!(us["INITIAL_CLUSTER"], witness["INITIAL_CLUSTER"]);
        assert_eq!(witness["PEER_URL"], "http://127.0.0.1:23380");
        assert_eq!(us["PEER_ROUTES"], "http://127.0.0.1:21380=http://127.0.0.1:22680,http://127.0.0.1:23380=http://127.0.0.1:22690");
        let region = settings("us/region");
        assert_eq!(region["COORDINATOR_ADDRS"], "http://127.0.0.1:22379,http://127.0.0.1:22679,http://127.0.0.1:22689");
        assert_eq!(region["PEER_REGION_ADDR"], "http://127.0.0.1:22407");
        let links = plan.ports.links(1).to_string();
        assert!(links.contains("us/witness/raft=127.0.0.1:22690>127.0.0.1:23380"), "{links}");
        assert!(links.contains("us/eu/coordinator=127.0.0.1:22679>127.0.0.1:21379"), "{links}");
    }

    #[test]
    fn every_need_comes_earlier_in_the_list() {
        for engines_only in [false, true] {
            let mut seen = BTreeSet::new();
            for step in Plan::new(Ports::default(), 3, engines_only).steps {
                for need in &step.needs {
                    assert!(seen.contains(need), "{} needs {need}", step.id);
                }
                assert!(seen.insert(step.id));
            }
        }
    }

    #[test]
    fn a_service_sees_its_own_region_and_role() {
        let plan = Plan::new(Ports::default(), 1, false);
        let order = plan.parts().find(|part| part.id() == "us/order").unwrap();
        let mut secrets = Secrets::default();
        secrets.roles.insert("order".to_owned(), "pw".to_owned());
        let env = plan.environment(order, &secrets, "/data");
        assert_eq!(env["DATABASE_URL"], "postgres://order:pw@127.0.0.1:22432/market");
        assert_eq!(env["ADMIN_ADDR"], "127.0.0.1:22604");
        assert_eq!(env["PSP_ADDR"], "http://127.0.0.1:20110");
        assert_eq!(env["TEMPORAL_ADDRESS"], "127.0.0.1:22233");
    }
}
