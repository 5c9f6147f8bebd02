//! A real PostgreSQL, one for each test process, and fresh databases in it.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::chown,
    path::PathBuf,
    process::{Child, Command},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use config::Secret;
use ids::Region;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

use crate::{eventually, free_port, keeper, parts};

/// As in a running market (`backbone/src/engine/postgres/databases.rs`).
const OWNERS: [&str; 5] = ["region", "cart", "inventory", "payment", "order"];
const PASSWORD: &str = "test";

const SETTINGS: [&str; 16] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "wal_level=logical",
    "max_connections=300",
    "max_prepared_transactions=50",
    // Each service that a test starts makes a slot for its outbox.
    "max_replication_slots=200",
    "max_wal_senders=200",
    "max_worker_processes=40",
    "max_logical_replication_workers=32",
    "max_active_replication_origins=100",
    "wal_retrieve_retry_interval=100ms",
    "shared_buffers=64MB",
    "jit=off",
    // What a crash of the machine would lose is of no use to anybody; a crash of the server loses nothing.
    "fsync=off",
    "full_page_writes=off",
    "log_line_prefix=%m [%p] %q%u@%d ",
];

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    log: PathBuf,
    process: Mutex<Child>,
    databases: AtomicU32,
}

static SERVER: OnceCell<Postgres> = OnceCell::const_new();

/// The server of this test process, started when first asked for.
///
/// # Panics
/// When it cannot be started.
pub async fn postgres() -> &'static Postgres {
    SERVER.get_or_init(Postgres::start).await
}

impl Postgres {
    async fn start() -> Self {
        let bin = parts::folder("postgresql").join("bin");
        let (data, log) = (keeper::folder().join("postgres"), keeper::folder().join("postgres.log"));
        fs::create_dir_all(&data).unwrap_or_else(|error| panic!("create {}: {error}", data.display()));
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = keeper::nobody();
            chown(&data, Some(uid), Some(gid)).expect("root gives folders away");
        }
        let mut initdb = settled(keeper::program(&bin.join("initdb"), true));
        initdb.args(["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--pgdata"]).arg(&data);
        let status = tokio::task::spawn_blocking({
            let log = log.clone();
            move || keeper::spawn(initdb, &log).wait()
        });
        let status = status.await.expect("waiting does not panic").expect("initdb can be waited for");
        assert!(status.success(), "initdb failed:\n{}", keeper::tail(&log));

        let port = free_port();
        let mut server = settled(keeper::program(&bin.join("postgres"), true));
        server.arg("-D").arg(&data).args(["-c", &format!("port={port}")]);
        server.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let process = Mutex::new(keeper::spawn(server, &log));
        let this = Self { port, log, process, databases: AtomicU32::new(0) };
        let mut connection = eventually("postgres answers", Duration::from_secs(30), async || this.probe().await).await;
        for role in OWNERS {
            let role_sql = format!(
                "CREATE ROLE \"{role}\" LOGIN REPLICATION PASSWORD '{PASSWORD}';
                 ALTER ROLE \"{role}\" SET search_path = \"{role}\";
                 ALTER ROLE \"{role}\" SET synchronous_commit = local"
            );
            run(&mut connection, role_sql).await;
        }
        this
    }

    /// A new database of region eu, see [`Postgres::database_in`].
    ///
    /// # Panics
    /// When the server does not do it.
    pub async fn database(&self, service: &str) -> Secret {
        self.database_in(Region::Eu, service).await
    }

    /// A new database like `market`, in which every service has its schema and role; the URL is `service`'s. Its tables are not there
    /// yet: [`crate::Running::migrated`] or the service's migrator make them. The region holds both homes.
    ///
    /// # Panics
    /// When the server does not do it.
    pub async fn database_in(&self, region: Region, service: &str) -> Secret {
        let name = format!("market_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = self.connect("postgres").await.expect("postgres answers");
        run(&mut connection, format!("CREATE DATABASE {name}")).await;
        let mut connection = self.connect(&name).await.expect("postgres answers");
        run(&mut connection, format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC")).await;
        for role in OWNERS {
            let schema_sql = format!(
                "GRANT CONNECT, CREATE ON DATABASE {name} TO \"{role}\";
                 CREATE SCHEMA \"{role}\" AUTHORIZATION \"{role}\""
            );
            run(&mut connection, schema_sql).await;
        }
        run(&mut connection, store::region::setup(region)).await;
        run(&mut connection, "UPDATE region.homes SET holder = region.self(), valid_until = 'infinity'".to_owned()).await;
        self.url(service, &name)
    }

    /// `service`'s own URL of the database that `url` names: to look at one database as two services.
    ///
    /// # Panics
    /// When `url` is not one of [`Postgres::database`].
    #[must_use]
    pub fn as_service(&self, service: &str, url: &Secret) -> Secret {
        self.url(service, name_of(url))
    }

    /// A superuser's connection to the database that `url` names.
    ///
    /// # Panics
    /// When there is none.
    pub async fn superuser(&self, url: &Secret) -> PgConnection {
        self.connect(name_of(url)).await.expect("postgres answers")
    }

    /// Mirrors two databases of [`Postgres::database_in`], one of each region and with their tables, as a running market does
    /// (`backbone/src/mirror.rs`). Each holds its own home from now on.
    ///
    /// # Panics
    /// When the server does not do it.
    pub async fn mirror(&self, eu: &Secret, us: &Secret) {
        for (region, from, to) in [(Region::Eu, eu, us), (Region::Us, us, eu)] {
            let (publisher, mut from, mut to) = (name_of(from), self.superuser(from).await, self.superuser(to).await);
            run(&mut from, "UPDATE region.homes SET holder = home".to_owned()).await;
            // Within one server a subscription cannot make its own slot: it would wait for itself.
            run(&mut from, format!("SELECT pg_create_logical_replication_slot('{publisher}', 'pgoutput')")).await;
            let publications = "SELECT string_agg(quote_ident(pubname), ', ') FROM pg_publication WHERE pubname LIKE '%\\_mirror'";
            let publications: String = sqlx::query_scalar(publications).fetch_one(&mut from).await.expect("there are publications");
            run(
                &mut to,
                format!(
                    "CREATE SUBSCRIPTION market_from_{region} CONNECTION 'host=127.0.0.1 port={} dbname={publisher} user=postgres' \
                     PUBLICATION {publications} WITH (create_slot = false, slot_name = '{publisher}', origin = none, copy_data = false, \
                     synchronous_commit = local)",
                    self.port
                ),
            )
            .await;
        }
    }

    fn url(&self, service: &str, database: &str) -> Secret {
        assert!(OWNERS.contains(&service), "{service} has no database");
        Secret::new(format!("postgres://{service}:{PASSWORD}@127.0.0.1:{}/{database}", self.port))
    }

    async fn probe(&self) -> Result<PgConnection, String> {
        let ended = self.process.lock().expect("no holder of this lock panics").try_wait();
        assert!(matches!(ended, Ok(None)), "postgres ended ({ended:?}):\n{}", keeper::tail(&self.log));
        self.connect("postgres").await.map_err(|error| error.to_string())
    }

    async fn connect(&self, database: &str) -> sqlx::Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass().host(&Ipv4Addr::LOCALHOST.to_string()).port(self.port);
        PgConnection::connect_with(&options.username("postgres").database(database)).await
    }
}

fn name_of(url: &Secret) -> &str {
    url.expose().rsplit_once('/').expect("a database URL ends in its name").1
}

async fn run(connection: &mut PgConnection, sql: String) {
    let shown = sql.clone();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
}

fn settled(mut command: Command) -> Command {
    command.env_clear().envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("PATH", "/usr/bin:/bin")]).current_dir("/");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_sees_its_own_schema_and_no_other() {
        let postgres = postgres().await;
        let cart = postgres.database("cart").await;
        let mut connection = PgConnection::connect(cart.expose()).await.unwrap();
        let (schema, user): (String, String) =
            sqlx::query_as("SELECT current_schema()::text, current_user::text").fetch_one(&mut connection).await.unwrap();
        assert_eq!((schema.as_str(), user.as_str()), ("cart", "cart"));
        sqlx::raw_sql("CREATE TABLE own (id int)").execute(&mut connection).await.unwrap();

        let order = postgres.as_service("order", &cart);
        let mut other = PgConnection::connect(order.expose()).await.unwrap();
        let refused = sqlx::raw_sql("SELECT * FROM cart.own").execute(&mut other).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }

    #[tokio::test]
    async fn every_database_is_a_new_one() {
        let postgres = postgres().await;
        let (one, two) = tokio::join!(postgres.database("cart"), postgres.database("cart"));
        assert_ne!(one.expose(), two.expose());
    }
}
