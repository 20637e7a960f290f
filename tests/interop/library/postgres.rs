//! Our client with a PostgreSQL server, whose connections turn to TLS after a request.

use super::{client_security, connect, is_finished, preconnection};
use crate::authority::Authority;
use crate::peer::{Peer, run};
use portway::{Connection, Security, TlsRole};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

/// "Length 8, code 1234 5679": may we speak TLS?
pub(crate) const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A cluster in a directory of its own, run by a user who may run one.
struct Cluster {
    server: Option<Peer>,
    address: SocketAddr,
    directory: PathBuf,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.server = None;
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Cluster {
    /// A running server with TLS, or why there is none.
    async fn start(authority: &Authority) -> Result<Cluster, String> {
        let directory = std::env::temp_dir().join(format!("portway-pg-{}", std::process::id()));
        let mut cluster = Cluster {
            server: None,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            directory,
        };
        cluster.initialise(authority)?;
        // The server takes no port of the system's choice, and a free one may be taken meanwhile.
        for _ in 0..PORT_TRIES_MAX {
            if cluster.launch().await? {
                return Ok(cluster);
            }
        }
        Err("no free port was kept".to_owned())
    }

    fn initialise(&self, authority: &Authority) -> Result<(), String> {
        let data = self.data();
        let directory = self.directory.display();
        std::fs::create_dir_all(&self.directory).map_err(|error| error.to_string())?;
        for (from, to) in [
            (&authority.server.cert, "server.crt"),
            (&authority.server.key, "server.key"),
        ] {
            std::fs::copy(from, self.directory.join(to)).map_err(|error| error.to_string())?;
        }
        checked(
            Command::new("chmod")
                .arg("600")
                .arg(self.directory.join("server.key")),
        )?;
        let owner = format!("{USER}:{USER}");
        checked(Command::new("chown").args(["-R", &owner, &directory.to_string()]))?;
        let mut initdb = as_user("initdb");
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--username=portway",
            "--pgdata",
        ]);
        checked(initdb.arg(&data))
    }

    /// Starts the server; false when its port was taken.
    async fn launch(&mut self) -> Result<bool, String> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| error.to_string())?
            .port();
        let directory = self.directory.display();
        let mut command = as_user("postgres");
        command.arg("-D").arg(self.data());
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={directory}"),
            "fsync=off".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={directory}/server.crt"),
            format!("ssl_key_file={directory}/server.key"),
        ] {
            command.args(["-c", &setting]);
        }
        let Some(mut server) = Peer::spawn("postgres", command.into()) else {
            return Err("the server does not start".to_owned());
        };
        let outcomes = [
            "database system is ready",
            "could not create any TCP/IP sockets",
        ];
        let is_up = server.after_any(&outcomes).await? == outcomes[0];
        if is_up {
            self.address.set_port(port);
            self.server = Some(server);
        }
        Ok(is_up)
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }
}

#[test]
fn client_upgrades_with_a_postgresql_server_and_asks_it_something() {
    run(async {
        let test = "client_upgrades_with_a_postgresql_server_and_asks_it_something";
        let authority = Authority::new();
        let cluster = match Cluster::start(&authority).await {
            Ok(cluster) => cluster,
            Err(reason) => {
                return portway_tests::say!("skipped: {test}: no PostgreSQL server: {reason}");
            }
        };
        for (version, name) in super::VERSIONS.into_iter().zip(["TLSv1.2", "TLSv1.3"]) {
            let connection = connect(&preconnection(Security::disabled()), cluster.address).await;
            let receipt = connection.send(SSL_REQUEST).await.expect("accepted");
            receipt.await.into_result().expect("sent");
            let answer = connection.receive_partial(1, 1).await.expect("an answer");
            assert_eq!(&answer[..], b"S", "the server speaks TLS");
            let security = client_security(&authority, version);
            let parameters = security.tls_parameters().expect("TLS");
            let upgrade = connection.upgrade_tls(parameters, TlsRole::Client, None);
            assert_eq!(upgrade.await.expect("an upgrade").version, version);

            let start = b"\0\x03\0\0user\0portway\0database\0postgres\0\0";
            send(&connection, &[], start).await;
            until_ready(&connection).await;
            let query = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()\0";
            send(&connection, b"Q", query.as_bytes()).await;
            let answer = until_ready(&connection).await;
            assert!(
                answer
                    .windows(name.len())
                    .any(|part| part == name.as_bytes()),
                "{}",
                String::from_utf8_lossy(&answer)
            );
            send(&connection, b"X", &[]).await;
            assert!(is_finished(&connection).await, "the server ends it");
            connection.close().await.expect("acknowledged");
        }
    });
}

/// A message of the protocol: type, length, body.
async fn send(connection: &Connection, kind: &[u8], body: &[u8]) {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    let message = [kind, &length.to_be_bytes(), body].concat();
    let receipt = connection.send(message).await.expect("accepted");
    receipt.await.into_result().expect("sent");
}

/// Everything up to "ready for query, idle".
async fn until_ready(connection: &Connection) -> Vec<u8> {
    let mut all = Vec::new();
    while !all.ends_with(b"Z\0\0\0\x05I") {
        let part = connection.receive_partial(1, 4096).await;
        all.extend_from_slice(&part.expect("an answer").data);
    }
    all
}

/// The server refuses to run as root.
fn as_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={USER}"), &format!("--regid={USER}")]);
    command.args(["--clear-groups", program]);
    command.current_dir(Path::new("/"));
    command
}

fn checked(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

const USER: &str = "postgres";
const PORT_TRIES_MAX: usize = 5;
