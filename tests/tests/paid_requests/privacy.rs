//! Nothing of it can be read anywhere.

use crate::Stage;
use anyhow::{ensure, Context};
use phala_end_to_end::{
	cluster::http,
	search::{Found, Mark, Search},
};

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

pub async fn the_plaintext_is_nowhere_and_a_public_one_is_everywhere(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	// Asked in plain words, which pass a worker's public server as they are.
	let plain = Mark::new("the plain question")?;
	let late = stage.network.workers.last().context("one is left")?;
	let path = format!("/agents/{}/nothing?{}", stage.agent, plain.text);
	let answer = http(&late.url(), "GET", &path, &[]).await?;
	ensure!(answer.status == 200, "{answer:?}");
	let talkative = format!("log of {}", late.enclave.process.name());

	// Members did give each other what they keep.
	let bodies = stage.network.bodies_between_workers();
	ensure!(bodies > 0, "workers have each other keep bodies, and that was recorded");

	let marks = [&stage.hidden[..], &stage.public, std::slice::from_ref(&plain)].concat();
	let mut search = Search::new(&marks);
	stage.network.search(&mut search).await?;
	eprintln!("  looked for {} marks in bytes of {:?}", marks.len(), search.bytes);
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
