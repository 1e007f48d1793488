//! What the whole is for, in one command: `phala network up`.

use anyhow::{ensure, Context};
use nix::sys::signal::Signal;
use phala_devnet::{specification, Folder, Process, Supervisor};
use phala_end_to_end::{
	cases,
	cli::Said,
	leftovers::{files, listening, processes, still_listening},
	schemas::{schemas, ERROR},
	supervisor,
	trials::{self, Stage},
	until, PATIENCE,
};
use serde_json::Value;
use std::{
	collections::BTreeSet,
	fs,
	net::TcpListener,
	path::{Path, PathBuf},
	process::ExitCode,
};

/// Where nobody listens: a source that cannot be reached.
const NOBODY: &str = "http://127.0.0.1:1/price";

/// A machine on which the command is run: it has nothing of this one's environment.
struct Machine {
	folder: Folder,
	supervisor: Supervisor,
	/// What was there before.
	before: BTreeSet<PathBuf>,
}

impl Stage for Machine {
	async fn start() -> anyhow::Result<Self> {
		let folder = Folder::new(&std::env::temp_dir())?;
		// What takes long to make, the chain's specification and components, is kept where this user's
		// is: all else that a run leaves in HOME is found.
		let cache = specification::cache_folder()?;
		let cache = cache.parent().context("a cache folder is in a folder")?;
		let cache = cache.display().to_string();
		let supervisor = supervisor(folder.path())?.with_variable("XDG_CACHE_HOME", &cache);
		let before = files(folder.path())?;
		Ok(Self { folder, supervisor, before })
	}

	fn last_words(&self) -> String {
		String::new()
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

	/// What is there that was not: processes and files.
	fn left(&self) -> anyhow::Result<Vec<String>> {
		let processes = processes(self.path())?.into_iter().map(|process| process.line);
		let files = files(self.path())?;
		let files = files.difference(&self.before).map(|file| file.display().to_string());
		Ok(processes.chain(files).collect())
	}
}

fn checkout() -> String {
	format!("--checkout={}/../..", env!("CARGO_MANIFEST_DIR"))
}

fn main() -> ExitCode {
	let cases = cases![
		once_it_shows_a_direct_and_a_paid_answer_and_leaves_nothing_behind,
		its_workers_end_and_come_back_and_interrupted_it_leaves_nothing,
		once_with_broken_price_sources_it_fails_and_says_why,
		dev_says_what_it_will_be,
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

async fn its_workers_end_and_come_back_and_interrupted_it_leaves_nothing(
	machine: &mut Machine,
) -> anyhow::Result<()> {
	const UP: &str = r#"{"ok":true,"#;
	let folder = machine.path().to_owned();
	let arguments = ["network", "up", "--json", "--port-base=0", &checkout()].map(str::to_owned);
	let mut up = machine.supervisor.start("phala", "phala", &arguments, &[])?;
	let waited = until("the network to be up", || {
		let found = up.log().text().lines().find(|line| line.starts_with(UP)).map(str::to_owned);
		let ended = up.check();
		async move {
			match found {
				Some(found) => Ok(Some(found)),
				None => ended.map(|()| None),
			}
		}
	});
	let summary: Value = serde_json::from_str(&waited.await?)?;
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
	let (code, said) = ask(&["stop", "worker-1"]).await?;
	assert_eq!((code, &said["stopped"]), (Some(0), &"worker-1".into()), "{said}");
	let (code, said) = ask(&["stop", "worker-1"]).await?;
	let error = said["error"]["message"].as_str().unwrap_or_default();
	assert!(code == Some(1) && error.contains("phala network start worker-1"), "{said}");
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
	for name in ["worker-1", "worker-2"] {
		let (code, said) = ask(&["start", name]).await?;
		assert_eq!((code, &said["started"]), (Some(0), &name.into()), "{said}");
	}
	until("all to serve again", || async {
		Ok(phases().await?.values().all(|phase| phase == "serving").then_some(()))
	})
	.await
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

async fn dev_says_what_it_will_be(machine: &mut Machine) -> anyhow::Result<()> {
	// It starts a network, so it needs the checkout as that does.
	let dev = ["--json", "dev", "--checkout=/nowhere"];
	let said = machine.run(&dev, &[]).await?;
	assert_eq!(schemas()?.check_said(&dev, &said)?, ERROR);
	assert_eq!(said.code, Some(1), "{said:?}");
	assert!(said.stderr.contains("this starts a whole network"), "{said:?}");
	assert!(said.stderr.contains("/nowhere has no agents/price-oracle"), "{said:?}");
	assert_eq!(machine.left()?, Vec::<String>::new());
	Ok(())
}
