//! What the whole is for, in one command: `phala network up`. The network that is up is also the one
//! on which the pages of docs/ are done, command by command.

use anyhow::{ensure, Context};
use nix::sys::signal::Signal;
use phala_devnet::{specification, Folder, Process, Supervisor};
use phala_end_to_end::{
	cases,
	cli::Said,
	leftovers::{files, listening, processes, still_listening},
	pages::{
		reader::{free_port, PortsMeant, Reader},
		Page,
	},
	schemas::{schemas, ERROR},
	supervisor,
	trials::{self, Stage},
	until, PATIENCE,
};
use serde_json::{json, Value};
use std::{
	collections::BTreeSet,
	fs,
	net::TcpListener,
	path::{Path, PathBuf},
	process::ExitCode,
};

/// Where nobody listens: a source that cannot be reached.
const NOBODY: &str = "http://127.0.0.1:1/price";

/// Where pages say that the chain listens; the enclaves' ports follow, ten apart.
const CHAIN_PORT: u16 = 9_944;

/// How many blocks of a page's commands may be left out, each with its reason in the page.
const NOT_RUN_MAX: usize = 2;

/// A machine on which the command is run: it has nothing of this one's environment.
struct Machine {
	folder: Folder,
	supervisor: Supervisor,
	/// What was there before.
	before: BTreeSet<PathBuf>,
	/// As soon as a case needs it, until one interrupts it.
	up: Option<Up>,
}

/// A network that is up.
struct Up {
	process: Process,
	/// What it says of itself.
	summary: Value,
}

impl Stage for Machine {
	async fn start() -> anyhow::Result<Self> {
		let folder = Folder::new(&std::env::temp_dir())?;
		// What takes long to make, the chain's specification and components, is kept where this user's
		// is: all else that a run leaves in HOME is found.
		let supervisor = supervisor(folder.path())?.with_variable("XDG_CACHE_HOME", &cache()?);
		let before = files(folder.path())?;
		Ok(Self { folder, supervisor, before, up: None })
	}

	fn last_words(&self) -> String {
		self.up.as_ref().map_or_else(String::new, |up| up.process.log().last_lines())
	}
}

impl Machine {
	fn path(&self) -> &Path {
		self.folder.path()
	}

	async fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Said> {
		let phala = self.supervisor.binary("phala")?;
		let running = self.supervisor.run(&phala, arguments, variables, self.path(), PATIENCE);
		Ok(Said::of(running.await?))
	}

	/// A network that stays up, started if it is not. On the usual ports, if they are free.
	async fn up(&mut self) -> anyhow::Result<&mut Up> {
		const UP: &str = r#"{"ok":true,"#;
		if self.up.is_none() {
			let arguments = ["network", "up", "--json", &checkout()].map(str::to_owned);
			let mut process = self.supervisor.start("phala", "phala", &arguments, &[])?;
			let waited = until("the network to be up", || {
				let text = process.log().text();
				let found = text.lines().find(|line| line.starts_with(UP)).map(str::to_owned);
				let ended = process.check();
				async move {
					match found {
						Some(found) => Ok(Some(found)),
						None => ended.map(|()| None),
					}
				}
			});
			let summary = serde_json::from_str(&waited.await?)?;
			self.up = Some(Up { process, summary });
		}
		self.up.as_mut().context("it was started")
	}

	/// Does what a page says, on the network that is up.
	async fn follow(&mut self, name: &str, listens: &[u16]) -> anyhow::Result<()> {
		let page = Page::read(&repository(), name)?;
		ensure!(
			page.not_run.len() <= NOT_RUN_MAX,
			"{name}: {} blocks are not run, {NOT_RUN_MAX} at most are: {:?}",
			page.not_run.len(),
			page.not_run
		);
		let Up { process, summary } = self.up().await?;
		let text = |value: &Value| Some(value.as_str()?.to_owned());
		let chain = text(&summary["chain"]["url"]).context("it has a chain")?;
		let mut ports = listens.iter().map(|port| free_port(*port)).collect::<Result<_, _>>()?;
		usual_ports(summary, &mut ports)?;
		// Where it was told by a line that the chain listens elsewhere, a reader does as that says.
		let cache = cache()?;
		let mut variables = vec![("XDG_CACHE_HOME", cache.as_str())];
		if !chain.ends_with(&format!(":{CHAIN_PORT}")) {
			variables.push(("PHALA_NODE", &chain));
		}
		let mut reader = Reader::new(&variables, ports)?;
		// That is what it runs: see the Makefile.
		reader.is_told("make dev", || process.log().text());
		reader.follow(&page).await
	}

	/// What is there that was not: processes and files.
	fn left(&self) -> anyhow::Result<Vec<String>> {
		let processes = processes(self.path())?.into_iter().map(|process| process.line);
		let files = files(self.path())?;
		let files = files.difference(&self.before).map(|file| file.display().to_string());
		Ok(processes.chain(files).collect())
	}
}

fn repository() -> PathBuf {
	phala_end_to_end::own_folder().join("../..")
}

fn checkout() -> String {
	format!("--checkout={}", repository().display())
}

/// This user's, of all programs.
fn cache() -> anyhow::Result<String> {
	let cache = specification::cache_folder()?;
	let cache = cache.parent().context("a cache folder is in a folder")?;
	Ok(cache.display().to_string())
}

/// What a page shows of a network's ports, and what they are.
fn usual_ports(summary: &Value, ports: &mut PortsMeant) -> anyhow::Result<()> {
	let mut add = |of_page: u16, url: &Value| -> anyhow::Result<()> {
		let port = url.as_str().and_then(|url| url.rsplit(':').next()?.parse().ok());
		ports.insert(of_page, port.with_context(|| format!("{url} has a port"))?);
		Ok(())
	};
	add(CHAIN_PORT, &summary["chain"]["url"])?;
	let workers = summary["workers"].as_array().context("it has workers")?;
	let enclaves = std::iter::once(&summary["gatekeeper"]).chain(workers);
	for (of_page, enclave) in (CHAIN_PORT + 10..).step_by(10).zip(enclaves) {
		add(of_page, &enclave["public"])?;
	}
	Ok(())
}

fn main() -> ExitCode {
	let cases = cases![
		once_it_shows_a_direct_and_a_paid_answer_and_leaves_nothing_behind,
		getting_started_is_true_word_by_word,
		running_a_worker_is_true_word_by_word,
		its_workers_end_and_come_back_and_interrupted_it_leaves_nothing,
		once_with_broken_price_sources_it_fails_and_says_why,
		dev_runs_an_agent_without_a_chain_and_says_what_it_needs,
	];
	trials::run("network_up", cases)
}

async fn once_it_shows_a_direct_and_a_paid_answer_and_leaves_nothing_behind(
	machine: &mut Machine,
) -> anyhow::Result<()> {
	let (checkout, folder) = (checkout(), machine.path().to_owned());
	// While it runs its children are found that way; afterwards none may be.
	let seen = until("chain, enclaves and relayers", || async {
		let running = processes(&folder)?;
		let count = |name: &str| running.iter().filter(|it| it.line.contains(name)).count();
		let all = count("phala-node") >= 1 && count("pruntime") == 3 && count("pherry") == 3;
		Ok(all.then_some(running.len()))
	});
	let recordings = folder.join("recordings");
	let record = format!("--record={}", recordings.display());
	let arguments = ["network", "up", "--once", &checkout, &record];
	let running = machine.run(&arguments, &[]);
	let (seen, said) = tokio::join!(seen, running);
	let said = said?;
	ensure!(said.code == Some(0), "{:?}\n{}", said.code, said.stderr);
	ensure!(seen? >= 7, "a node, three enclaves and three relayers");

	let summary = said.json()?;
	schemas()?.check("network up", &summary)?;
	assert_eq!(summary["ok"], true, "{summary:#}");
	assert!(summary["error"].is_null(), "{summary:#}");
	assert_eq!(summary["workers"].as_array().map(Vec::len), Some(2));
	for call in ["direct", "onChain"] {
		assert_eq!(summary[call]["verified"], true, "{call}: {summary:#}");
		// Two stand-ins agree on about this; the third is wrong on purpose.
		assert_eq!(summary[call]["answer"]["price"], 64_040, "{call}: {summary:#}");
	}
	let paid = &summary["onChain"]["paid"];
	let amount = |value: &Value| -> anyhow::Result<u128> {
		Ok(value.as_str().with_context(|| format!("an amount in {paid}"))?.parse()?)
	};
	let fee = amount(&paid["fee"])?;
	// 60 % and 30 %, rounded down; the treasury has the rest.
	let (worker, developer) = (fee * 60 / 100, fee * 30 / 100);
	assert!(fee > 0, "{paid}");
	assert_eq!(amount(&paid["worker"]["amount"])?, worker, "{paid}");
	assert_eq!(amount(&paid["developer"]["amount"])?, developer, "{paid}");
	assert_eq!(amount(&paid["treasury"]["amount"])?, fee - worker - developer, "{paid}");

	// Each enclave's run, again, does what it did.
	let mut recorded = 0;
	for entry in fs::read_dir(&recordings)? {
		let path = entry?.path();
		let turns = phala_machine::recording::replay(&fs::read(&path)?)
			.with_context(|| format!("{} is not what the machine does", path.display()))?;
		ensure!(turns > 20, "{}: {turns} turns", path.display());
		recorded += 1;
	}
	assert_eq!(recorded, 3, "a gatekeeper and two workers");
	fs::remove_dir_all(&recordings)?;

	assert_eq!(machine.left()?, Vec::<String>::new());
	Ok(())
}

async fn getting_started_is_true_word_by_word(machine: &mut Machine) -> anyhow::Result<()> {
	let makefile = fs::read_to_string(repository().join("Makefile"))?;
	ensure!(makefile.contains("phala network up $(if"), "`make dev` is `phala network up`");
	machine.follow("docs/getting-started.md", &[8_000]).await
}

async fn running_a_worker_is_true_word_by_word(machine: &mut Machine) -> anyhow::Result<()> {
	machine.follow("docs/running-a-worker.md", &[8_003, 8_103, 8_203]).await
}

async fn its_workers_end_and_come_back_and_interrupted_it_leaves_nothing(
	machine: &mut Machine,
) -> anyhow::Result<()> {
	let folder = machine.path().to_owned();
	machine.up().await?;
	let Up { process: mut up, summary } = machine.up.take().context("it is up")?;
	schemas()?.check("network up", &summary)?;
	workers_end_and_come_back(machine, &summary).await?;
	let running = processes(&folder)?;
	let mut sockets = listening(&running)?;
	// A node's RPC and p2p, two servers of three enclaves, three relayers' status, stand-ins.
	assert!(running.len() >= 8 && sockets.len() >= 11, "{running:#?} {sockets:?}");

	// Each kind is planted once, and must be found.
	let planted = plant(machine, &mut sockets)?;
	up.signal(Signal::SIGINT)?;
	let code = up.ended(PATIENCE).await?;
	ensure!(code == Some(0), "{code:?}: {}", up.log().last_lines());
	let left = machine.left()?;
	assert_eq!(left.len(), 1 + planted.files.len(), "{left:#?}");
	assert!(left.iter().any(|line| line.contains("sleep")), "the process: {left:#?}");
	for file in &planted.files {
		assert!(left.contains(&file.display().to_string()), "{file:?}: {left:#?}");
	}
	assert_eq!(still_listening(&sockets)?, planted.sockets);

	// And nothing else is there.
	planted.process.kill().await;
	planted.files.iter().try_for_each(fs::remove_file)?;
	drop(planted.listener);
	assert_eq!(machine.left()?, Vec::<String>::new());
	assert_eq!(still_listening(&sockets)?, BTreeSet::new());
	Ok(())
}

/// One is stopped by a command, another dies: the rest stays up, and both come back.
async fn workers_end_and_come_back(machine: &Machine, summary: &Value) -> anyhow::Result<()> {
	let chain = summary["chain"]["url"].as_str().context("it has a chain")?;
	let ask = async |arguments: &[&str]| {
		let arguments = [&["--json", "network"], arguments, &["--node", chain]].concat();
		let said = machine.run(&arguments, &[]).await?;
		schemas()?.check_said(&arguments, &said)?;
		anyhow::Ok((said.code, said.json()?))
	};
	let phases = async || {
		let (_, status) = ask(&["status"]).await?;
		let workers = status["workers"].as_array().context("it has workers")?;
		let phase = |worker: &Value| (worker["name"].to_string(), worker["phase"].clone());
		anyhow::Ok(workers.iter().map(phase).collect::<std::collections::BTreeMap<_, _>>())
	};
	until("worker-2 to be ready, and worker-1 to be stopped", || async {
		let (code, said) = ask(&["stop", "worker-1"]).await?;
		if code == Some(0) {
			assert_eq!((&said["stopped"], &said["notTakenOver"]), (&"worker-1".into(), &json!([])));
			return Ok(Some(()));
		}
		assert_eq!(said["error"]["code"], "NotTakenOver", "{said}");
		Ok(None)
	})
	.await?;
	// Nobody else answers for the agents now: it is not stopped in passing.
	let (code, said) = ask(&["stop", "worker-2"]).await?;
	let error = said["error"]["message"].as_str().unwrap_or_default();
	assert!(code == Some(1) && said["error"]["code"] == "NotTakenOver", "{said}");
	assert!(error.contains("price-oracle") && error.contains("--force"), "{said}");
	let (code, said) = ask(&["stop", "worker-1"]).await?;
	let error = said["error"]["message"].as_str().unwrap_or_default();
	assert!(code == Some(1) && error.contains("phala network start worker-1"), "{said}");
	let (code, said) = ask(&["stop", "chain"]).await?;
	let error = said["error"]["message"].as_str().unwrap_or_default();
	assert!(code == Some(1) && error.contains("stops the whole network"), "{said}");
	let (code, said) = ask(&["stop", "worker-9"]).await?;
	let error = said["error"]["message"].as_str().unwrap_or_default();
	assert!(code == Some(1) && error.contains("gatekeeper, worker-1, worker-2"), "{said}");

	// The other one's process ends, as by itself.
	let running = processes(machine.path())?;
	let relay = summary["workers"][1]["worker"].to_string();
	let own = running
		.iter()
		.find(|it| it.line.contains("pruntime") && it.line.contains(&format!("--worker={relay}")));
	let own = own.context("worker-2 runs")?.id;
	nix::sys::signal::kill(nix::unistd::Pid::from_raw(own.try_into()?), Signal::SIGTERM)?;
	until("both workers to be named as stopped", || async {
		let phases = phases().await?;
		let stopped = phases.values().filter(|phase| **phase == "stopped").count();
		Ok((stopped == 2 && phases.len() == 3).then_some(()))
	})
	.await?;
	an_interrupted_command_says_what_goes_on(machine, chain).await?;
	for name in ["worker-1", "worker-2"] {
		let (code, said) = ask(&["start", name]).await?;
		assert_eq!((code, &said["started"]), (Some(0), &name.into()), "{said}");
	}
	until("all to serve again", || async {
		Ok(phases().await?.values().all(|phase| phase == "serving").then_some(()))
	})
	.await
}

/// Until then a request may wait: longer than the test needs, and than the agent's timeout.
const DEADLINE_BLOCKS: u64 = 300;

/// With nobody there to answer it a request stays open for as long as the test needs.
async fn an_interrupted_command_says_what_goes_on(
	machine: &Machine,
	chain: &str,
) -> anyhow::Result<()> {
	let home = Folder::new(&std::env::temp_dir())?;
	let ask = [
		"--json",
		"call",
		"price-oracle",
		"/",
		"--on-chain",
		"-d",
		"{}",
		"--suri=//Bob",
		"--node",
		chain,
	];
	let home_path = home.path().display().to_string();
	let variables = [("PHALA_HOME", &*home_path)];
	// Nothing is paid for what nobody would answer, but by who says how long it may wait.
	let said = machine.run(&ask, &variables).await?;
	let error = said.json()?["error"].clone();
	ensure!(said.code == Some(1) && error["code"] == "Unanswered", "{said:?}");
	ensure!(error["message"].to_string().contains("nothing was submitted"), "{error}");
	let said = machine.run(&["--json", "agent", "list", "--all", "--node", chain], &[]).await?;
	let block = said.json()?["block"].as_u64().context("a block")?;
	let deadline = format!("--deadline={}", block + DEADLINE_BLOCKS);
	let ask = [&ask[1..], &[&*deadline]].concat();
	let ask: Vec<_> = ask.into_iter().map(str::to_owned).collect();
	let mut call = machine.supervisor.start("call", "phala", &ask, &variables)?;
	call.line_after("deadline block").await?;
	call.signal(Signal::SIGINT)?;
	let told = call.line_after("interrupted; submitted").await?;
	for part in ["(requests.submit)", "phala request status 0x", "--wait` goes on"] {
		ensure!(told.contains(part), "{told}");
	}
	assert_eq!(call.ended(PATIENCE).await?, Some(130));
	Ok(())
}

/// What a bad end would leave.
struct Planted {
	process: Process,
	listener: TcpListener,
	sockets: BTreeSet<u64>,
	/// In the temporary folder, in HOME, in the working folder.
	files: [PathBuf; 3],
}

fn plant(machine: &Machine, sockets: &mut BTreeSet<u64>) -> anyhow::Result<Planted> {
	use std::os::fd::AsRawFd;
	use std::os::unix::fs::MetadataExt;
	let sleep = ["1000".to_owned()];
	let process = machine.supervisor.start_at("planted", "/bin/sleep".as_ref(), &sleep, &[])?;
	let listener = TcpListener::bind("127.0.0.1:0")?;
	let inode = fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd()))?.ino();
	sockets.insert(inode);
	let files = ["tmp/planted", "home/planted", "planted"].map(|name| machine.path().join(name));
	for file in &files {
		fs::write(file, "planted")?;
	}
	Ok(Planted { process, listener, sockets: [inode].into(), files })
}

async fn once_with_broken_price_sources_it_fails_and_says_why(
	machine: &mut Machine,
) -> anyhow::Result<()> {
	let sources = [NOBODY; 3].join(",");
	let arguments = ["network", "up", "--once", "--workers=1", &checkout()];
	let said = machine.run(&arguments, &[("PHALA_PRICE_URLS", &sources)]).await?;
	ensure!(said.code == Some(1), "{:?}\n{}", said.code, said.stderr);
	let summary = said.json()?;
	schemas()?.check("network up", &summary)?;
	assert_eq!(summary["ok"], false, "{summary:#}");
	// The answer is proven all the same: it is the truth that there is no price.
	assert_eq!(summary["direct"]["verified"], true, "{summary:#}");
	assert_eq!(summary["direct"]["status"], 502, "{summary:#}");
	let error = summary["error"]["message"].as_str().context("it says why")?;
	assert!(error.contains("502") && error.contains("sources agree"), "{error}");
	assert!(said.stderr.contains(error), "people are told the same: {}", said.stderr);
	assert_eq!(machine.left()?, Vec::<String>::new());
	Ok(())
}

async fn dev_runs_an_agent_without_a_chain_and_says_what_it_needs(
	machine: &mut Machine,
) -> anyhow::Result<()> {
	let nowhere = ["--json", "dev", "/nowhere"];
	let said = machine.run(&nowhere, &[]).await?;
	assert_eq!(schemas()?.check_said(&nowhere, &said)?, ERROR);
	let said = machine.run(&["dev", "/nowhere"], &[]).await?;
	assert_eq!(said.code, Some(1), "{said:?}");
	assert!(said.stderr.contains("/nowhere has no agent.toml"), "{said:?}");
	assert!(said.stderr.contains("`phala network up` starts a whole network"), "{said:?}");

	// Somebody else has the port that is asked for.
	let taken = TcpListener::bind("127.0.0.1:0")?;
	let port = taken.local_addr()?.port();
	let hello = machine.path().join("hello").display().to_string();
	let said = machine.run(&["new", &hello], &[]).await?;
	assert_eq!(said.code, Some(0), "{said:?}");
	let said = machine.run(&["dev", &hello, &format!("--port={port}")], &[]).await?;
	assert_eq!(said.code, Some(1), "{said:?}");
	assert!(said.stderr.contains(&format!("another program listens on port {port}")), "{said:?}");

	let secrets = machine.path().join("secrets.json");
	fs::write(&secrets, r#"{"hello": {"API_KEY": "a secret"}}"#)?;
	let file = format!("--secrets-file={}", secrets.display());
	let said = machine.run(&["dev", &hello, "--port=0", &file], &[]).await?;
	assert_eq!(said.code, Some(1), "{said:?}");
	assert!(said.stderr.contains("declares no secret API_KEY"), "{said:?}");
	assert!(!said.stderr.contains("a secret"), "{said:?}");
	fs::remove_file(&secrets)?;

	// Killed, it takes what it started with it.
	let arguments = ["dev", &hello, "--port=0", "--json"].map(str::to_owned);
	let mut dev = machine.supervisor.start("dev", "phala", &arguments, &[])?;
	let url = dev.line_after(r#""url":""#).await?;
	assert!(url.contains("/agents/hello/"), "{url}");
	dev.signal(Signal::SIGKILL)?;
	dev.ended(PATIENCE).await?;
	let folder = machine.path().to_owned();
	until("what it started to be gone", || async {
		Ok(processes(&folder)?.is_empty().then_some(()))
	})
	.await?;
	fs::remove_dir_all(&hello)?;
	// And the next one removes its folder.
	let said = machine.run(&["dev", "/nowhere"], &[]).await?;
	assert_eq!(said.code, Some(1), "{said:?}");
	assert_eq!(machine.left()?, Vec::<String>::new());
	Ok(())
}
