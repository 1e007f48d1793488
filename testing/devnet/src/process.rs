//! A child process and what it wrote. What holds for every child is said in [`crate`].

use crate::limits;
use anyhow::{bail, ensure, Context};
use nix::{
	sys::signal::{killpg, Signal},
	unistd::Pid,
};
use std::{
	collections::VecDeque,
	ffi::OsString,
	io,
	path::{Path, PathBuf},
	process::Stdio,
	sync::{
		atomic::{AtomicUsize, Ordering},
		mpsc, Arc, Mutex, OnceLock, PoisonError,
	},
	time::Duration,
};
use tokio::{
	io::{AsyncBufReadExt, AsyncRead, BufReader},
	process::{Child, Command},
	runtime::Handle,
	task::JoinHandle,
};

/// Told each line of each child as it comes: the child's name, how many were started before it, and
/// the line without its end.
pub type Observer = Arc<dyn Fn(&str, usize, &[u8]) + Send + Sync>;

/// How children are started, and what they may use.
#[derive(Clone)]
pub struct Supervisor {
	/// Where the binaries are.
	binaries: PathBuf,
	/// Where children write: `tmp` and `home` are in it.
	folder: PathBuf,
	environment: Vec<(OsString, OsString)>,
	time_limit: Option<Duration>,
	kept_bytes: usize,
	observer: Observer,
	started: Arc<AtomicUsize>,
}

impl Supervisor {
	/// Starts binaries out of `binaries`; all that they write is in `folder`, which is there.
	pub fn new(binaries: &Path, folder: &Path) -> anyhow::Result<Self> {
		let environment = [("TMPDIR", "tmp"), ("HOME", "home")].map(|(name, sub)| {
			let path = folder.join(sub);
			std::fs::create_dir_all(&path)
				.with_context(|| format!("cannot make {}", path.display()))?;
			Ok((name.into(), path.into()))
		});
		let mut environment = environment.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
		environment.extend(std::env::var_os("PATH").map(|path| ("PATH".into(), path)));
		// Whoever shows what they write has colours of its own.
		environment.push(("NO_COLOR".into(), "1".into()));
		Ok(Self {
			binaries: binaries.into(),
			folder: folder.into(),
			environment,
			time_limit: None,
			kept_bytes: usize::MAX,
			observer: Arc::new(|_, _, _| ()),
			started: Arc::default(),
		})
	}

	/// Gives children these variables of this process too, as far as they are set.
	pub fn passing_on(mut self, names: &[&str]) -> Self {
		let set = names.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
		self.environment.extend(set);
		self
	}

	/// Gives children a variable.
	pub fn with_variable(mut self, name: &str, value: &str) -> Self {
		self.environment.push((name.into(), value.into()));
		self
	}

	/// Kills children that run longer than that.
	pub fn with_time_limit(mut self, limit: Duration) -> Self {
		self.time_limit = Some(limit);
		self
	}

	/// Keeps no more than the end of each log, so many bytes.
	pub fn keeping(mut self, bytes: usize) -> Self {
		self.kept_bytes = bytes;
		self
	}

	/// Tells somebody what children write.
	pub fn telling(mut self, observer: Observer) -> Self {
		self.observer = observer;
		self
	}

	/// Where children write.
	pub fn folder(&self) -> &Path {
		&self.folder
	}

	/// Where a binary is.
	pub fn binary(&self, name: &str) -> anyhow::Result<PathBuf> {
		let path = self.binaries.join(name);
		ensure!(
			path.is_file(),
			"{} is not there: build it with `make build`; binaries are looked for in one folder",
			path.display()
		);
		Ok(path)
	}

	/// Starts `binary` as `name`, with further variables.
	pub fn start(
		&self,
		name: &str,
		binary: &str,
		arguments: &[String],
		variables: &[(&str, &str)],
	) -> anyhow::Result<Process> {
		let path = self.binary(binary)?;
		self.start_at(name, &path, arguments, variables)
	}

	/// The same with a program from anywhere.
	pub fn start_at(
		&self,
		name: &str,
		program: &Path,
		arguments: &[String],
		variables: &[(&str, &str)],
	) -> anyhow::Result<Process> {
		let mut child = self.spawn(program, arguments, variables, &self.folder)?;
		let index = self.started.fetch_add(1, Ordering::Relaxed);
		let log = SharedLog::new(self.kept_bytes);
		let tell = |output| {
			let (name, observer) = (name.to_owned(), self.observer.clone());
			follow(output, log.clone(), move |line| observer(&name, index, line))
		};
		let readers =
			[child.stdout.take().map(Output::Out), child.stderr.take().map(Output::Error)];
		let readers = readers.into_iter().flatten().map(tell).collect();
		let id = child.id().and_then(|id| i32::try_from(id).ok()).context("it has an id")?;
		let group = Pid::from_raw(id);
		let watchdog = self.time_limit.map(|limit| {
			let log = log.clone();
			tokio::spawn(async move {
				tokio::time::sleep(limit).await;
				log.push(format!("killed after its time limit of {limit:?}").as_bytes());
				let _ = killpg(group, Signal::SIGKILL);
			})
		});
		Ok(Process { name: name.into(), group, child, log, readers, watchdog })
	}

	/// Runs a program in `folder` to its end, with further variables; its outputs apart. Beyond
	/// `wait_max` it is killed, with what it started.
	pub async fn run(
		&self,
		program: &Path,
		arguments: &[&str],
		variables: &[(&str, &str)],
		folder: &Path,
		wait_max: Duration,
	) -> anyhow::Result<std::process::Output> {
		let owned: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
		let child = self.spawn(program, &owned, variables, folder)?;
		let group = Group::of(&child)?;
		let output = tokio::time::timeout(wait_max, child.wait_with_output()).await;
		let shown = || format!("{} {arguments:?}", program.display());
		let Ok(output) = output else {
			drop(group);
			bail!("{} does not end within {} s", shown(), wait_max.as_secs())
		};
		group.has_ended();
		output.with_context(shown)
	}

	fn spawn(
		&self,
		program: &Path,
		arguments: &[String],
		variables: &[(&str, &str)],
		folder: &Path,
	) -> anyhow::Result<Child> {
		let mut command = Command::new(program);
		command
			.args(arguments)
			.current_dir(folder)
			.env_clear()
			.envs(self.environment.iter().map(|(name, value)| (name, value)))
			.envs(variables.iter().copied())
			.stdin(Stdio::null())
			.stdout(Stdio::piped())
			.stderr(Stdio::piped())
			.process_group(0)
			.kill_on_drop(true);
		die_with_parent(&mut command);
		let started = spawn_from_lasting_thread(command);
		started.with_context(|| format!("cannot start {}", program.display()))
	}
}

/// A child's process group, killed (-9) when this is dropped unless the child has ended.
struct Group(Option<Pid>);

impl Group {
	fn of(child: &Child) -> anyhow::Result<Self> {
		let id = child.id().and_then(|id| i32::try_from(id).ok()).context("it has an id")?;
		Ok(Self(Some(Pid::from_raw(id))))
	}

	/// Its id may be another's from now on.
	fn has_ended(mut self) {
		self.0 = None;
	}
}

impl Drop for Group {
	fn drop(&mut self) {
		if let Some(group) = self.0 {
			let _ = killpg(group, Signal::SIGKILL);
		}
	}
}

/// What a process wrote, line by line, as it wrote it.
#[derive(Clone, Debug, Default)]
pub struct Log(Vec<u8>);

impl Log {
	/// All of it.
	pub fn bytes(&self) -> &[u8] {
		&self.0
	}

	/// For people: what is no UTF-8 is replaced.
	pub fn text(&self) -> String {
		String::from_utf8_lossy(&self.0).into_owned()
	}

	/// For people: its last lines, each on a line of its own, indented. Of errors' backtraces nothing: one
	/// would be all that is shown, and what matters stands before it or after.
	pub fn last_lines(&self) -> String {
		/// As `anyhow` begins it.
		const BACKTRACE: &str = "Stack backtrace:";
		let text = self.text();
		let mut is_frame = false;
		let is_shown = |line: &&str| {
			is_frame = line.trim() == BACKTRACE || is_frame && line.starts_with(' ');
			!is_frame
		};
		let lines: Vec<_> = text.lines().filter(is_shown).collect();
		let skipped = lines.len().saturating_sub(limits::SHOWN_LINES_MAX);
		lines.iter().skip(skipped).map(|line| format!("\n  {line}")).collect()
	}
}

#[derive(Clone)]
struct SharedLog {
	lines: Arc<Mutex<(VecDeque<Vec<u8>>, usize)>>,
	kept_bytes: usize,
}

impl SharedLog {
	fn new(kept_bytes: usize) -> Self {
		Self { lines: Arc::default(), kept_bytes }
	}

	fn push(&self, line: &[u8]) {
		let mut guard = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
		let (lines, bytes) = &mut *guard;
		*bytes += line.len() + 1;
		lines.push_back(line.to_vec());
		while *bytes > self.kept_bytes {
			let Some(oldest) = lines.pop_front() else { break };
			*bytes -= oldest.len() + 1;
		}
	}

	fn all(&self) -> Log {
		let guard = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
		let mut all = Vec::with_capacity(guard.1);
		for line in &guard.0 {
			all.extend_from_slice(line);
			all.push(b'\n');
		}
		Log(all)
	}

	/// The rest of the first line that contains `mark`.
	fn after(&self, mark: &str) -> Option<String> {
		let guard = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
		guard.0.iter().find_map(|line| {
			let line = String::from_utf8_lossy(line);
			line.split_once(mark).map(|(_, rest)| rest.trim().to_owned())
		})
	}
}

/// A child process. Dropping it kills it (-9), and what it started.
pub struct Process {
	name: String,
	/// Its own, so its id is that of its leader.
	group: Pid,
	child: Child,
	log: SharedLog,
	readers: Vec<JoinHandle<()>>,
	watchdog: Option<JoinHandle<()>>,
}

impl Process {
	/// What its supervisor calls it.
	pub fn name(&self) -> &str {
		&self.name
	}

	/// Its number in the system.
	pub fn id(&self) -> u32 {
		self.group.as_raw().unsigned_abs()
	}

	/// What it wrote so far.
	pub fn log(&self) -> Log {
		self.log.all()
	}

	/// Whether it still runs.
	pub fn check(&mut self) -> anyhow::Result<()> {
		if let Some(status) = self.child.try_wait()? {
			bail!(
				"{} ended by itself ({status}); it wrote last:{}",
				self.name,
				self.log().last_lines()
			);
		}
		Ok(())
	}

	/// The rest of the first line that contains `mark`, once there is one.
	/// Waits for [`limits::CHILD_START_MAX`] at most.
	pub async fn line_after(&mut self, mark: &str) -> anyhow::Result<String> {
		let waiting = async {
			loop {
				if let Some(rest) = self.log.after(mark) {
					return Ok(rest);
				}
				// What it wrote last may still be under way when it has ended.
				if let Err(ended) = self.check() {
					self.rest_of_log().await;
					return self.log.after(mark).ok_or(ended);
				}
				tokio::time::sleep(limits::POLL).await;
			}
		};
		match tokio::time::timeout(limits::CHILD_START_MAX, waiting).await {
			Ok(found) => found,
			Err(_) => bail!(
				"waited {} s in vain for {} to write {mark:?}; it wrote last:{}",
				limits::CHILD_START_MAX.as_secs(),
				self.name,
				self.log().last_lines()
			),
		}
	}

	/// Waits until it ends by itself; its exit code, none if a signal ended it.
	pub async fn ended(&mut self, wait_max: Duration) -> anyhow::Result<Option<i32>> {
		let Ok(status) = tokio::time::timeout(wait_max, self.child.wait()).await else {
			bail!(
				"{} does not end within {} s; it wrote last:{}",
				self.name,
				wait_max.as_secs(),
				self.log().last_lines()
			);
		};
		self.rest_of_log().await;
		Ok(status?.code())
	}

	/// Sends a signal to it alone.
	pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
		nix::sys::signal::kill(self.group, signal)
			.with_context(|| format!("cannot signal {}", self.name))
	}

	/// Kills it (-9), and what it started, and waits until it is gone; all that it wrote.
	pub async fn kill(mut self) -> Log {
		self.crash().await;
		self.log()
	}

	/// The same, and keeps its place.
	pub async fn crash(&mut self) {
		self.kill_group();
		let _ = self.child.wait().await;
		self.rest_of_log().await;
	}

	/// Asks it to end.
	pub fn terminate(&self) {
		if self.child.id().is_some() {
			// If it has ended meanwhile, so much the better.
			let _ = killpg(self.group, Signal::SIGTERM);
		}
	}

	/// As long as its leader was not waited for no other group can have its id.
	fn kill_group(&self) {
		if self.child.id().is_some() {
			let _ = killpg(self.group, Signal::SIGKILL);
		}
	}

	async fn rest_of_log(&mut self) {
		for reader in &mut self.readers {
			let _ = tokio::time::timeout(limits::REST_OF_LOG_MAX, reader).await;
		}
		self.readers.clear();
	}
}

/// Gone before what it wrote is removed.
impl Drop for Process {
	fn drop(&mut self) {
		if let Some(watchdog) = &self.watchdog {
			watchdog.abort();
		}
		self.kill_group();
		for _ in 0..400 {
			if !matches!(self.child.try_wait(), Ok(None)) {
				return;
			}
			std::thread::sleep(Duration::from_millis(5));
		}
	}
}

type Spawning = Box<dyn FnOnce() + Send>;

/// The kernel ties a child to the *thread* that started it, and kills it when that thread ends: so
/// all are started by one that lasts as long as this process.
fn spawn_from_lasting_thread(mut command: Command) -> io::Result<Child> {
	static SPAWNER: OnceLock<mpsc::Sender<Spawning>> = OnceLock::new();
	let spawner = SPAWNER.get_or_init(|| {
		let (sender, receiver) = mpsc::channel::<Spawning>();
		std::thread::spawn(move || receiver.into_iter().for_each(|spawning| spawning()));
		sender
	});
	let (started, starting) = mpsc::sync_channel(1);
	let runtime = Handle::current();
	let spawning = Box::new(move || {
		let _runtime = runtime.enter();
		let _ = started.send(command.spawn());
	});
	let gone = || io::Error::other("the thread that starts processes is gone");
	spawner.send(spawning).map_err(|_| gone())?;
	starting.recv().map_err(|_| gone())?
}

#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
	let parent = nix::unistd::getpid();
	let tie = move || {
		nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
		// The parent may have died before.
		if nix::unistd::getppid() != parent {
			return Err(nix::errno::Errno::ESRCH.into());
		}
		Ok(())
	};
	// SAFETY: between fork and exec only prctl and getppid are called, which are
	// async-signal-safe, and nothing is allocated.
	unsafe {
		command.pre_exec(tie);
	}
}

enum Output {
	Out(tokio::process::ChildStdout),
	Error(tokio::process::ChildStderr),
}

fn follow(output: Output, log: SharedLog, tell: impl Fn(&[u8]) + Send + 'static) -> JoinHandle<()> {
	async fn read(from: impl AsyncRead + Unpin, log: SharedLog, tell: impl Fn(&[u8])) {
		let mut reader = BufReader::new(from);
		let mut line = Vec::new();
		// Not `lines()`: a line that is no UTF-8 must not end the log.
		while matches!(reader.read_until(b'\n', &mut line).await, Ok(read) if read > 0) {
			if line.ends_with(b"\n") {
				line.pop();
			}
			log.push(&line);
			tell(&line);
			line.clear();
		}
	}
	match output {
		Output::Out(from) => tokio::spawn(read(from, log, tell)),
		Output::Error(from) => tokio::spawn(read(from, log, tell)),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	/// How long a killed process may take to be gone, on a busy machine.
	const GONE_MAX: Duration = Duration::from_secs(10);

	fn shell(supervisor: &Supervisor, script: &str) -> Process {
		let arguments = ["-c".into(), script.into()];
		supervisor.start_at("child", Path::new("/bin/sh"), &arguments, &[]).unwrap()
	}

	fn supervisor(folder: &Path) -> Supervisor {
		Supervisor::new(Path::new("/bin"), folder).unwrap()
	}

	#[test]
	fn an_error_is_seen_before_its_backtrace_however_long_that_is() {
		let mut log = b"starting\nError: the secrets file is broken\n\nStack backtrace:\n".to_vec();
		for frame in 0..2 * limits::SHOWN_LINES_MAX {
			log.extend(format!("  {frame}: std::rt::lang_start\n").into_bytes());
		}
		let shown = Log(log).last_lines();
		assert!(shown.contains("the secrets file is broken"), "{shown}");
		assert!(!shown.contains("lang_start"), "{shown}");
	}

	fn is_there(id: u32) -> bool {
		Path::new("/proc").join(id.to_string()).exists()
	}

	/// That of a process which nobody waits for but the system: a zombie is gone too.
	async fn is_gone_soon(id: u32) -> bool {
		let gone = async {
			while let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) {
				if stat.contains(") Z ") {
					break;
				}
				tokio::time::sleep(limits::POLL).await;
			}
		};
		tokio::time::timeout(GONE_MAX, gone).await.is_ok()
	}

	#[tokio::test]
	async fn a_child_is_followed_to_its_mark_and_killed_with_what_it_started() {
		let folder = tempfile::tempdir().unwrap();
		let script = "sleep 100 & echo public http://x $!; exec sleep 100";
		let mut child = shell(&supervisor(folder.path()), script);
		let rest = child.line_after("public ").await.unwrap();
		let (url, grandchild) = rest.split_once(' ').unwrap();
		let (id, grandchild) = (child.id(), grandchild.parse().unwrap());
		assert_eq!(url, "http://x");
		assert!(is_there(id) && is_there(grandchild));
		child.kill().await;
		assert!(!is_there(id));
		assert!(is_gone_soon(grandchild).await);
	}

	/// What the test below runs: itself, as a parent that starts a child and waits for its own end.
	async fn be_a_parent(folder: &Path) {
		let child = shell(&supervisor(folder), "exec sleep 100");
		println!("\nstarted {}", child.id());
		tokio::time::sleep(limits::CHILD_START_MAX).await;
	}

	#[tokio::test]
	async fn a_child_dies_with_its_parent_though_that_is_killed_and_drops_nothing() {
		const FOLDER: &str = "PHALA_DEVNET_PARENT_IN";
		if let Some(folder) = std::env::var_os(FOLDER) {
			return be_a_parent(Path::new(&folder)).await;
		}
		let folder = tempfile::tempdir().unwrap();
		let test = "a_child_dies_with_its_parent_though_that_is_killed_and_drops_nothing";
		let arguments = [format!("process::tests::{test}"), "--exact".into(), "--nocapture".into()];
		let variables = [(FOLDER, folder.path().to_str().unwrap())];
		let itself = std::env::current_exe().unwrap();
		let supervisor = supervisor(folder.path());
		let mut parent = supervisor.start_at("parent", &itself, &arguments, &variables).unwrap();
		let child = parent.line_after("started ").await.unwrap().parse().unwrap();
		assert!(is_there(child));
		// It alone, as `kill -9` does: the child is in a group of its own.
		parent.signal(Signal::SIGKILL).unwrap();
		assert_eq!(parent.ended(GONE_MAX).await.unwrap(), None);
		assert!(is_gone_soon(child).await, "{child} outlives its parent");
	}

	#[tokio::test]
	async fn a_child_that_ends_by_itself_is_named_with_its_last_words() {
		let folder = tempfile::tempdir().unwrap();
		let mut child = shell(&supervisor(folder.path()), "echo the disk is full >&2; exit 7");
		let error = child.line_after("public ").await.unwrap_err().to_string();
		assert!(error.contains("child ended") && error.contains("7"), "{error}");
	}

	#[tokio::test]
	async fn a_log_is_kept_as_bytes_to_its_end_and_its_oldest_lines_go_first() {
		let folder = tempfile::tempdir().unwrap();
		let all = supervisor(folder.path());
		let mut child = shell(&all, r"printf 'a\377b\nwithout an end'");
		assert_eq!(child.ended(limits::CHILD_START_MAX).await.unwrap(), Some(0));
		assert_eq!(child.log().bytes(), b"a\xffb\nwithout an end\n");
		let mut child = shell(&all.keeping(8), "echo first; echo second");
		child.ended(limits::CHILD_START_MAX).await.unwrap();
		assert_eq!(child.log().bytes(), b"second\n");
	}

	#[tokio::test]
	async fn a_child_knows_nothing_of_the_environment_but_what_it_was_given() {
		let folder = tempfile::tempdir().unwrap();
		let supervisor = supervisor(folder.path()).passing_on(&["CARGO_PKG_NAME"]);
		// Cargo sets both for tests.
		assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
		let arguments = ["-c".into(), "env; pwd".into()];
		let shell = Path::new("/bin/sh");
		let mut child = supervisor.start_at("child", shell, &arguments, &[("X", "1")]).unwrap();
		child.ended(limits::CHILD_START_MAX).await.unwrap();
		let text = child.log().text();
		assert!(text.contains("CARGO_PKG_NAME=phala-devnet") && text.contains("X=1"), "{text}");
		assert!(!text.contains("CARGO_MANIFEST_DIR"), "{text}");
		let home = format!("HOME={}", folder.path().join("home").display());
		assert!(text.contains(&home), "{text}");
	}

	#[tokio::test]
	async fn a_child_beyond_its_time_limit_is_killed_and_its_log_says_so() {
		let folder = tempfile::tempdir().unwrap();
		let supervisor = supervisor(folder.path()).with_time_limit(Duration::from_millis(50));
		let mut child = shell(&supervisor, "exec sleep 100");
		assert_eq!(child.ended(limits::CHILD_START_MAX).await.unwrap(), None);
		assert!(child.log().text().contains("killed after its time limit"));
	}

	#[tokio::test]
	async fn what_is_run_to_its_end_has_its_outputs_apart_and_a_bound() {
		let folder = tempfile::tempdir().unwrap();
		let supervisor = supervisor(folder.path());
		let run = async |script, wait_max| {
			let (shell, arguments) = (Path::new("/bin/sh"), ["-c", script]);
			supervisor.run(shell, &arguments, &[("X", "1")], folder.path(), wait_max).await
		};
		let output = run("echo $X; echo b >&2; exit 3", limits::CHILD_START_MAX).await.unwrap();
		assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"1\n"[..], &b"b\n"[..]));
		assert_eq!(output.status.code(), Some(3));
		let error = run("sleep 100", Duration::from_millis(50)).await.unwrap_err();
		assert!(error.to_string().contains("does not end"), "{error}");
	}

	#[test]
	fn a_child_outlives_the_runtime_and_the_thread_that_asked_for_it_but_not_its_value() {
		let folder = tempfile::tempdir().unwrap();
		let runtime = tokio::runtime::Runtime::new().unwrap();
		let supervisor = supervisor(folder.path());
		let handle = runtime.handle().clone();
		let starting = std::thread::spawn(move || {
			let _entered = handle.enter();
			shell(&supervisor, "exec sleep 100")
		});
		let mut child = starting.join().unwrap();
		std::thread::sleep(Duration::from_millis(100));
		child.check().unwrap();
		let id = child.id();
		drop(child);
		assert!(!is_there(id));
	}
}
