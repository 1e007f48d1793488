//! The real binary on free loopback ports, which ends with its test.

use phala_agent_builder::{AgentFolder, Builder, BuiltAgent};
use phala_devnet::{Process, Supervisor};
use std::{
	collections::BTreeMap,
	io::{BufRead, BufReader, Read, Write},
	net::{SocketAddr, TcpListener, TcpStream},
	path::{Path, PathBuf},
	sync::{Mutex, OnceLock},
	time::Duration,
};
use tokio::runtime::Runtime;

/// Far more than any test takes: what still runs then hangs.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Far more than any answer takes.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(120);

pub type Agent = BuiltAgent;

fn repository() -> PathBuf {
	// At run time: a checkout that was moved since shares its target folder.
	let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
	Path::new(&own).join("../..")
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

/// Where processes are looked after, until the test program ends.
fn runtime() -> &'static Runtime {
	static RUNTIME: OnceLock<Runtime> = OnceLock::new();
	RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// A process with a public server.
pub struct Worker {
	process: Process,
	public: SocketAddr,
	_folders: tempfile::TempDir,
}

impl Worker {
	pub fn start(agents: &[Agent]) -> Self {
		Self::start_with(agents, &[])
	}

	pub fn start_with(agents: &[Agent], flags: &[String]) -> Self {
		let _entered = runtime().enter();
		let (supervisor, arguments, folders) = prepared(agents, flags);
		let mut process = supervisor.start("worker", BINARY, &arguments, &[]).unwrap();
		let public = runtime().block_on(process.line_after("public http://")).unwrap();
		Self { process, public: public.parse().unwrap(), _folders: folders }
	}

	/// What a worker says that does not start.
	pub fn refusal(agents: &[Agent], flags: &[String]) -> String {
		let _entered = runtime().enter();
		let (supervisor, arguments, _folders) = prepared(agents, flags);
		let mut process = supervisor.start("worker", BINARY, &arguments, &[]).unwrap();
		let code = runtime().block_on(process.ended(TIME_LIMIT)).unwrap();
		assert_ne!(code, Some(0));
		process.log().text()
	}

	/// Waits until it writes this.
	pub fn says(&mut self, mark: &str) {
		runtime().block_on(self.process.line_after(mark)).unwrap();
	}

	/// The variables that it was started with, `NAME=value` each.
	pub fn environment(&self) -> Vec<String> {
		let environment = std::fs::read(format!("/proc/{}/environ", self.process.id())).unwrap();
		String::from_utf8(environment).unwrap().split_terminator('\0').map(Into::into).collect()
	}

	pub fn get(&self, path: &str) -> Answer {
		self.request("GET", path, b"")
	}

	pub fn post(&self, path: &str) -> Answer {
		self.request("POST", path, b"")
	}

	/// Reading or writing fails rather than waits for ever.
	pub fn connect(&self) -> TcpStream {
		let stream = TcpStream::connect(self.public).unwrap();
		stream.set_read_timeout(Some(ANSWER_WAIT_MAX)).unwrap();
		stream.set_write_timeout(Some(ANSWER_WAIT_MAX)).unwrap();
		stream
	}

	pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
		let mut stream = self.connect();
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

const BINARY: &str = "pruntime";

/// How to start it: it knows nothing of this program's environment, and ends with it.
fn prepared(agents: &[Agent], flags: &[String]) -> (Supervisor, Vec<String>, tempfile::TempDir) {
	let folders = tempfile::tempdir().unwrap();
	let binaries = Path::new(env!("CARGO_BIN_EXE_pruntime")).parent().unwrap();
	let supervisor = Supervisor::new(binaries, folders.path()).unwrap();
	let mut arguments = vec!["--public-listen".to_owned(), "127.0.0.1:0".to_owned()];
	arguments.extend_from_slice(flags);
	for agent in agents {
		let path = folders.path().join("agents").join(&agent.manifest.name);
		let folder = AgentFolder {
			path: path.clone(),
			manifest: agent.manifest.clone(),
			main: path.join("src/index.ts"),
		};
		agent.write(&folder).unwrap();
		arguments.extend(["--dev-agent".to_owned(), path.display().to_string()]);
	}
	(supervisor.with_time_limit(TIME_LIMIT), arguments, folders)
}

pub struct Answer {
	pub status: u16,
	headers: BTreeMap<String, String>,
	body: Vec<u8>,
}

impl Answer {
	pub fn parse(bytes: &[u8]) -> Self {
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
