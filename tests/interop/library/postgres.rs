//! Our client with a PostgreSQL server, whose connections turn to TLS after a request.

use super::{client_security, connect, is_finished, preconnection};
use crate::authority::Authority;
use crate::peer::{Peer, run};
use bytes::Bytes;
use portway::{BinaryReader, Connection, Security, TlsRole};
use std::error::Error;
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
    async fn start(authority: &Authority, label: &str) -> Result<Cluster, String> {
        let name = format!("portway-pg-{label}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
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
        let cluster = match Cluster::start(&authority, "upgrade").await {
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

#[test]
fn typed_reads_and_writes_speak_the_protocol_of_postgresql() {
    run(async {
        let test = "typed_reads_and_writes_speak_the_protocol_of_postgresql";
        let authority = Authority::new();
        let cluster = match Cluster::start(&authority, "typed").await {
            Ok(cluster) => cluster,
            Err(reason) => {
                return portway_tests::say!("skipped: {test}: no PostgreSQL server: {reason}");
            }
        };
        let connection = connect(&preconnection(Security::disabled()), cluster.address).await;
        typed(connection, &authority).await.expect("a conversation");
    });
}

/// Detached for the upgrade, then attached again; the values cross in the binary format.
async fn typed(connection: Connection, authority: &Authority) -> Result<(), Box<dyn Error>> {
    let mut writer = connection.binary_writer();
    writer.write_u32(8)?;
    writer.write_u32(80_877_103)?;
    writer.flush().await?;
    let mut reader = connection.binary_reader();
    assert_eq!(reader.read_u8().await?, b'S', "the server speaks TLS");
    let (connection, unconsumed) = reader.detach();
    assert!(unconsumed.is_empty());
    let security = client_security(authority, super::VERSIONS[1]);
    let parameters = security.tls_parameters().expect("TLS");
    let upgrade = connection.upgrade_tls(parameters, TlsRole::Client, None);
    upgrade.await?;

    let mut reader = connection.binary_reader().with_read_ahead(4096);
    let start = b"\0\x03\0\0user\0portway\0database\0postgres\0\0";
    writer.write_i32(i32::try_from(start.len() + 4)?)?;
    writer.write_bytes(start)?;
    writer.flush().await?;
    while answer(&mut reader).await?.0 != b'Z' {}

    let (number, real, text) = (-123_456_789_i64, -0.125_f64, "häh?");
    let mut bind = connection.binary_writer();
    bind.write_bytes(b"\0\0\0\x01\0\x01\0\x03")?;
    bind.write_i32(8)?;
    bind.write_i64(number)?;
    bind.write_i32(8)?;
    bind.write_f64(real)?;
    bind.write_prefixed_str::<u32>(text)?;
    bind.write_bytes(b"\0\x01\0\x01")?;
    let query = b"\0SELECT $1::int8 + 1, $2::float8 * 2, $3::text || '!', NULL::int2\0\0\0";
    for (kind, body) in [
        (b'P', &query[..]),
        (b'B', bind.unstored()),
        (b'E', b"\0\0\0\0\0"),
        (b'S', b""),
    ] {
        writer.write_u8(kind)?;
        writer.write_i32(i32::try_from(body.len() + 4)?)?;
        writer.write_bytes(body)?;
    }
    writer.flush().await?;
    assert_eq!(answer(&mut reader).await?.0, b'1', "parsed");
    assert_eq!(answer(&mut reader).await?.0, b'2', "bound");
    assert_eq!(
        (reader.read_u8().await?, reader.read_i32().await?),
        (b'D', 44)
    );
    assert_eq!(reader.read_i16().await?, 4, "columns");
    assert_eq!(
        (reader.read_i32().await?, reader.read_i64().await?),
        (8, number + 1)
    );
    assert_eq!(
        (reader.read_i32().await?, reader.read_f64().await?),
        (8, real * 2.0)
    );
    assert_eq!(reader.read_prefixed_string::<u32>().await?, "häh?!");
    assert_eq!(reader.read_i32().await?, -1, "nothing");
    let (kind, body) = answer(&mut reader).await?;
    assert_eq!((kind, &body[..]), (b'C', &b"SELECT 1\0"[..]));
    assert_eq!(answer(&mut reader).await?.0, b'Z');
    writer.write_bytes(b"X\0\0\0\x04")?;
    writer.flush().await?;
    assert_eq!(reader.load_partial(1).await?, 0, "the server ends it");
    connection.close().await?;
    Ok(())
}

/// Type and body of the next message.
async fn answer(reader: &mut BinaryReader) -> Result<(u8, Bytes), Box<dyn Error>> {
    let kind = reader.read_u8().await?;
    let length = usize::try_from(reader.read_i32().await?)?;
    let body = reader.read_bytes(length - 4).await?;
    assert_ne!(kind, b'E', "{}", String::from_utf8_lossy(&body));
    Ok((kind, body))
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
