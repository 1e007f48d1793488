//! The real binary on free loopback ports, which ends with its test.

use phala_agent_builder::{AgentFolder, Builder, BuiltAgent};
use std::{
	collections::BTreeMap,
	io::{BufRead, BufReader, Read, Write},
	net::{SocketAddr, TcpListener, TcpStream},
	path::{Path, PathBuf},
	process::{Child, Command, Stdio},
	sync::{Mutex, OnceLock},
};

pub type Agent = BuiltAgent;

fn repository() -> PathBuf {
	Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn source(folder: &str) -> AgentFolder {
	AgentFolder::open(repository().join(folder)).unwrap()
}

/// The agent in `folder` (from the repository's root), built once in a test program.
pub fn built(folder: &str) -> Agent {
	static BUILT: OnceLock<Mutex<BTreeMap<String, Agent>>> = OnceLock::new();
	let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap();
	built
		.entry(folder.to_owned())
		.or_insert_with(|| {
			let builder = Builder::new(repository().join("clients/sdk-js"))
				.unwrap_or_else(|error| panic!("{error}"));
			builder.build(&source(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"))
		})
		.clone()
}

/// A process with a public server.
pub struct Worker {
	child: Child,
	public: SocketAddr,
	_folders: tempfile::TempDir,
}

impl Drop for Worker {
	fn drop(&mut self) {
		let _ = self.child.kill();
		let _ = self.child.wait();
	}
}

impl Worker {
	pub fn start(agents: &[Agent]) -> Self {
		Self::start_with(agents, &[])
	}

	pub fn start_with(agents: &[Agent], flags: &[String]) -> Self {
		let (mut command, folders) = command(agents, flags);
		let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
		let stdout = BufReader::new(child.stdout.take().unwrap());
		let mut worker = Self { child, public: ([0, 0, 0, 0], 0).into(), _folders: folders };
		for line in stdout.lines() {
			if let Some(address) = line.unwrap().strip_prefix("public http://") {
				worker.public = address.parse().unwrap();
				return worker;
			}
		}
		panic!("the worker ended before its public server was open");
	}

	/// What a worker says that does not start.
	pub fn refusal(agents: &[Agent], flags: &[String]) -> String {
		let (mut command, _folders) = command(agents, flags);
		let output = command.stderr(Stdio::piped()).output().unwrap();
		assert!(!output.status.success());
		String::from_utf8(output.stderr).unwrap()
	}

	pub fn get(&self, path: &str) -> Answer {
		self.request("GET", path, b"")
	}

	pub fn post(&self, path: &str) -> Answer {
		self.request("POST", path, b"")
	}

	pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
		let mut stream = TcpStream::connect(self.public).unwrap();
		let length = body.len();
		let head = format!(
			"{method} {path} HTTP/1.1\r\nhost: worker\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
		);
		stream.write_all(head.as_bytes()).unwrap();
		// A server that refuses early may close before it has read everything.
		let _ = stream.write_all(body);
		let mut bytes = Vec::new();
		stream.read_to_end(&mut bytes).unwrap();
		Answer::parse(&bytes)
	}
}

fn command(agents: &[Agent], flags: &[String]) -> (Command, tempfile::TempDir) {
	let folders = tempfile::tempdir().unwrap();
	let mut command = Command::new(env!("CARGO_BIN_EXE_pruntime"));
	command.args(["--public-listen", "127.0.0.1:0"]).args(flags).stdin(Stdio::null());
	for agent in agents {
		let path = folders.path().join(&agent.manifest.name);
		let folder = AgentFolder {
			path: path.clone(),
			manifest: agent.manifest.clone(),
			main: path.join("src/index.ts"),
		};
		agent.write(&folder).unwrap();
		command.arg("--dev-agent").arg(path);
	}
	(command, folders)
}

pub struct Answer {
	pub status: u16,
	headers: BTreeMap<String, String>,
	body: Vec<u8>,
}

impl Answer {
	fn parse(bytes: &[u8]) -> Self {
		let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
		let head = std::str::from_utf8(&bytes[..end]).unwrap();
		let mut lines = head.split("\r\n");
		let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
		let headers = lines
			.map(|line| line.split_once(": ").unwrap())
			.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
			.collect();
		Self { status, headers, body: bytes[end + 4..].to_vec() }
	}

	pub fn header(&self, name: &str) -> Option<&str> {
		self.headers.get(name).map(String::as_str)
	}

	pub fn text(&self) -> String {
		String::from_utf8(self.body.clone()).unwrap()
	}

	pub fn json(&self) -> serde_json::Value {
		serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
	}

	/// The name of a refusal.
	pub fn error(&self) -> String {
		self.json()["error"].as_str().unwrap_or_default().to_owned()
	}
}

/// Answers everything with `body`, until the test program ends.
pub fn price_server(body: &'static str) -> SocketAddr {
	let listener = TcpListener::bind("127.0.0.1:0").unwrap();
	let address = listener.local_addr().unwrap();
	std::thread::spawn(move || {
		for stream in listener.incoming() {
			let mut stream = stream.unwrap();
			let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
			while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
			let length = body.len();
			let _ = write!(
				stream,
				"HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
			);
		}
	});
	address
}
