//! Nothing of it can be read anywhere.

use crate::Stage;
use anyhow::{ensure, Context};
use phala_devnet::network::Ended;
use phala_end_to_end::{
	chain::hash,
	cluster::{http, Network},
	memory,
	search::{Found, Mark, Search},
	PATIENCE,
};
use std::{fs, path::PathBuf};

/// Where a public request must be found: a search that finds it here would have found the others.
const PUBLIC_PLACES: [&str; 7] = [
	"chain: transactions",
	"chain: events",
	"chain: storage",
	"traffic before worker",
	"traffic before the node, for relayers",
	"traffic before the node, for callers",
	"files",
];

/// Of each kind of places there is more than this.
const LEAST_BYTES: usize = 10_000;

/// Where what is planted must be found: files of processes, their HOME, their working folder, the
/// callers' HOME and working folder, and a log that is no UTF-8.
const PLANTED: [&str; 6] = [
	"files: node/planted",
	"files: home/planted",
	"files: planted",
	"callers: home/planted",
	"callers: planted",
	"log of planted",
];

/// The secret keys of every boot that runs.
pub async fn boot_keys(network: &Network) -> anyhow::Result<Vec<Mark>> {
	let mut marks = Vec::new();
	for worker in &network.devnet.workers {
		let info = http(&worker.enclave.public_url, "GET", "/v1/info", &[]).await?;
		let info: serde_json::Value = serde_json::from_slice(&info.body)?;
		let public = |name: &str| Ok::<_, anyhow::Error>(hash(&info[name])?.0);
		let process = worker.enclave.process.id();
		let secrets = memory::boot_secrets(process, public("identity")?, public("encryption")?)
			.with_context(|| format!("of worker {}", worker.id()))?;
		let boot = format!("worker {}, boot {}", worker.id(), info["boot"]);
		for (which, secret) in [("identity", secrets.identity), ("encryption", secrets.encryption)]
		{
			marks.push(Mark::of_bytes(&format!("the secret {which} key of {boot}"), &secret));
		}
	}
	Ok(marks)
}

/// Writes `mark` where nothing of it should ever be, to show that it would be found.
async fn plant(stage: &mut Stage, mark: &Mark) -> anyhow::Result<Vec<PathBuf>> {
	let devnet = stage.network.devnet.supervisor.clone();
	let callers = stage.network.phala.supervisor.folder().to_owned();
	let folder = devnet.folder().to_owned();
	let files = [
		folder.join("node/planted"),
		folder.join("home/planted"),
		folder.join("planted"),
		callers.join("home/planted"),
		callers.join("planted"),
	];
	// Beside bytes that are no text.
	let bytes = [b"\xff\xfe", mark.text.as_bytes(), b"\xff\n"].concat();
	for file in &files {
		fs::write(file, &bytes)?;
	}
	let say = [files[0].display().to_string()];
	let mut saying = devnet.start_at("planted", "/bin/cat".as_ref(), &say, &[])?;
	saying.ended(PATIENCE).await?;
	let (name, log) = (saying.name().to_owned(), saying.log());
	stage.network.devnet.ended.push(Ended { name, log });
	Ok(files.into())
}

pub async fn the_plaintext_is_nowhere_and_a_public_one_is_everywhere(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	// Asked in plain words, which pass a worker's public server as they are.
	let plain = Mark::new("the plain question")?;
	let late = stage.network.newest()?;
	let path = format!("/agents/{}/nothing?{}", stage.agent, plain.text);
	let answer = http(&late.url(), "GET", &path, &[]).await?;
	ensure!(answer.status == 200, "{answer:?}");
	let talkative = format!("log of {}", late.enclave.process.name());

	// Members did give each other what they keep.
	let bodies = stage.network.bodies_between_workers();
	ensure!(bodies > 0, "workers have each other keep bodies, and that was recorded");

	// Nor would a crash write a dump of it all.
	for worker in &stage.network.devnet.workers {
		let limits = fs::read_to_string(format!("/proc/{}/limits", worker.enclave.process.id()))?;
		let cores = limits.lines().find(|line| line.starts_with("Max core file size"));
		let cores: Vec<_> = cores.context("of cores")?.split_whitespace().skip(4).take(2).collect();
		ensure!(cores == ["0", "0"], "worker {} may dump its memory: {cores:?}", worker.id());
	}

	// Those of the boots that are no more are hidden since the start.
	let keys = boot_keys(&stage.network).await?;
	stage.hidden.extend(keys);
	let planted = Mark::new("what was planted")?;
	let files = plant(stage, &planted).await?;

	let known = [plain.clone(), planted.clone()];
	let marks = [&stage.hidden[..], &stage.public, &known].concat();
	let mut search = Search::new(&marks);
	stage.network.search(&mut search).await?;
	eprintln!("  looked for {} marks in bytes of {:?}", marks.len(), search.bytes);
	let found = search.places(&planted.name);
	assert_eq!(found.len(), PLANTED.len(), "{found:#?}");
	for place in PLANTED {
		assert!(search.has(&planted.name, place), "planted in {place}: {found:#?}");
	}
	files.iter().try_for_each(fs::remove_file)?;

	for kind in ["chain", "traffic", "log", "files"] {
		let bytes = search.bytes.get(kind).copied().unwrap_or_default();
		assert!(bytes > LEAST_BYTES, "{bytes} bytes of {kind}");
	}
	let may_be = |found: &&Found| found.place == talkative;
	for mark in &stage.hidden {
		let found = search.places(&mark.name).into_iter().filter(|found| !may_be(found));
		let found: Vec<_> = found.collect();
		assert!(found.is_empty(), "{} was found: {found:#?}", mark.name);
	}
	// That worker alone says what its agents log: what a log has is found.
	assert!(search.has("what is kept of the direct input", &talkative), "{:#?}", search.found);
	for public in &stage.public {
		for place in PUBLIC_PLACES {
			assert!(search.has(&public.name, place), "{} must be in {place}", public.name);
		}
	}
	assert!(search.has(&plain.name, "traffic before worker"), "{:#?}", search.places(&plain.name));
	Ok(())
}
