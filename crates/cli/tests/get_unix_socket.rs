//! `portway get --unix-socket` with servers that others wrote: nginx, and python's.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use support::{Authority, directory, path, run};

/// A directory for sockets, whose paths have to be short (`sun_path` of unix(7)).
struct Sockets(PathBuf);

impl Sockets {
    fn new(name: &str) -> Sockets {
        let directory = format!("portway-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        Sockets(directory)
    }

    fn path(&self, name: &str) -> String {
        path(&self.0, name)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// nginx, which has left its process number in a file; it is ended with the test.
struct Nginx {
    pid: PathBuf,
    plain: String,
    secure: String,
    _sockets: Sockets,
}

impl Nginx {
    /// Listens on a socket in cleartext and on one with TLS; none where it is not installed.
    fn start(test: &str, authority: &Authority) -> Option<Nginx> {
        let folder = directory("unix");
        let sockets = Sockets::new("nginx");
        let (plain, secure) = (sockets.path("plain"), sockets.path("secure"));
        let root = path(&folder, "");
        let (cert, key) = authority.issue("one.test");
        std::fs::write(folder.join("page"), "from nginx\n").unwrap();
        let text = format!(
            "user root; pid {root}pid; error_log {root}log;
            events {{ }}
            http {{
                access_log off;
                client_body_temp_path {root}c; proxy_temp_path {root}p;
                fastcgi_temp_path {root}f; uwsgi_temp_path {root}u; scgi_temp_path {root}s;
                server {{
                    listen unix:{plain};
                    listen unix:{secure} ssl http2;
                    ssl_certificate {cert}; ssl_certificate_key {key};
                    add_header x-host $host;
                    root {root};
                }}
            }}\n"
        );
        let file = path(&folder, "conf");
        std::fs::write(&file, text).unwrap();
        // It goes into the background once it listens.
        let mut command = Command::new("nginx");
        command.args(["-e", "/dev/null", "-c", &file]);
        let Ok(status) = command.stderr(Stdio::null()).status() else {
            support::say_skipped(test, "nginx is not installed");
            return None;
        };
        assert!(status.success());
        Some(Nginx {
            pid: folder.join("pid"),
            plain,
            secure,
            _sockets: sockets,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A request was served, so that the file is there.
        let pid = std::fs::read_to_string(&self.pid).unwrap_or_default();
        let _ = Command::new("kill").arg(pid.trim()).status();
    }
}

#[test]
fn nginx_is_reached_through_its_sockets() {
    let authority = Authority::new("unix-ca");
    let test = "nginx_is_reached_through_its_sockets";
    let Some(nginx) = Nginx::start(test, &authority) else {
        return;
    };
    let format = "%{http_version} [%{remote_ip}]";
    let url = "http://any.test:8080/page";
    let arguments = [
        "get",
        url,
        "--unix-socket",
        &nginx.plain,
        "-i",
        "-w",
        format,
    ];
    let got = run(&arguments).expect(0).text();
    assert!(got.contains("x-host: any.test\r\n"), "{got}");
    assert!(got.ends_with("from nginx\n1.1 []"), "{got}");
    let root = authority.root();
    let url = "https://one.test/page";
    let mut arguments = vec![
        "get",
        url,
        "--unix-socket",
        &nginx.secure,
        "--cacert",
        &root,
    ];
    arguments.extend(["-w", format]);
    let got = run(&arguments).expect(0).text();
    assert_eq!(got, "from nginx\n2 []");
    arguments.extend(["--http", "1.1"]);
    let got = run(&arguments).expect(0).text();
    assert_eq!(got, "from nginx\n1.1 []");
    // Whoever the certificate is not for is not believed, through a socket either.
    arguments[1] = "https://two.test/page";
    run(&arguments).expect(60);
}

/// python's server of HTTP upon a socket, which it says that it listens on.
struct Python(Child);

impl Python {
    fn start(test: &str, address: &str) -> Option<Python> {
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM, address]);
        let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else {
            support::say_skipped(test, "python3 is not installed");
            return None;
        };
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        Some(Python(child))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PROGRAM: &str = "
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def address_string(self): return 'here'
    def log_message(self, *_): pass
    def do_POST(self):
        content = self.rfile.read(int(self.headers['content-length']))
        said = self.headers['host'].encode() + b' ' + content
        self.send_response(200)
        self.send_header('content-length', str(len(said)))
        self.end_headers()
        self.wfile.write(said)
address = sys.argv[1].replace('@', '\\0', 1)
with socketserver.ThreadingUnixStreamServer(address, Handler) as server:
    print('listening', flush=True)
    server.serve_forever()
";

#[test]
fn python_is_reached_by_path_and_by_abstract_name() {
    let test = "python_is_reached_by_path_and_by_abstract_name";
    let sockets = Sockets::new("python");
    let socket = sockets.path("socket");
    let name = format!("portway-python-{}", std::process::id());
    let rows = [
        (socket.clone(), "--unix-socket", socket),
        (format!("@{name}"), "--abstract-unix-socket", name),
    ];
    for (address, option, value) in rows {
        let Some(_python) = Python::start(test, &address) else {
            return;
        };
        let url = "http://somewhere.test/";
        let got = run(&["get", url, option, &value, "-d", "hello"]).expect(0);
        assert_eq!(got.text(), "somewhere.test hello", "{option}");
    }
}

#[test]
fn a_socket_that_is_not_there_has_the_code_of_no_connection() {
    let url = "http://somewhere.test/";
    let got = run(&["get", url, "--unix-socket", "/nowhere/socket"]).expect(7);
    got.says(&["cannot connect to the socket /nowhere/socket"]);
    let two = ["--unix-socket", "/a", "--abstract-unix-socket", "b"];
    run(&[&["get", url][..], &two].concat()).expect(2);
}
