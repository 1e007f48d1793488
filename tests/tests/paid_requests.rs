//! Milestone 3: private agents and paid requests, on real parts.
//!
//! The tests take turns: each runs a whole network, and there may be two cores.

use anyhow::{ensure, Context};
use phala_end_to_end::{
	chain::unhex,
	cluster::{http, Network, CALLER, DEVELOPER},
	search::{Mark, Search},
};
use phala_primitives::H256;
use serde_json::Value;
use tokio::sync::Mutex;

static TURN: Mutex<()> = Mutex::const_new(());

fn hash(value: &Value) -> anyhow::Result<H256> {
	let bytes = unhex(value.as_str().with_context(|| format!("{value} is no text"))?)?;
	ensure!(bytes.len() == 32, "{value} is no hash");
	Ok(H256::from_slice(&bytes))
}

fn backwards(text: &str) -> String {
	text.chars().rev().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_requests_and_their_privacy() -> anyhow::Result<()> {
	let _turn = TURN.lock().await;
	let started = std::time::Instant::now();
	let network = Network::start().await?;
	eprintln!("started {:?}", started.elapsed());
	let agent = network.deploy("keeper", &["--timeout", "5"]).await?;
	eprintln!("deployed {:?}", started.elapsed());
	a_request_is_answered_both_ways_and_its_plaintext_is_nowhere(&network, &agent).await?;
	eprintln!("searched {:?}", started.elapsed());
	Ok(())
}

async fn a_request_is_answered_both_ways_and_its_plaintext_is_nowhere(
	network: &Network,
	agent: &str,
) -> anyhow::Result<()> {
	let phala = &network.phala;
	let secret = Mark::new("the secret")?;
	let set = ["secrets", "set", agent, "WORD", "--value-env", "WORD"];
	let set = phala.of(DEVELOPER).run_with(&set, &[("WORD", &secret.text)]).await?;
	ensure!(set.code == Some(0), "{set:?}");
	let sum: u32 = secret.text.bytes().map(u32::from).sum();

	// Directly, and through the chain.
	let (direct, paid) = (Mark::new("the direct input")?, Mark::new("the paid input")?);
	let asked = ["call", agent, "/direct", "--data", &direct.text];
	let answer = phala.ok(&asked).await?;
	check_answer(&answer, &direct, sum)?;

	let genesis_issuance = network.chain.issuance(0).await?;
	let asked = ["call", agent, "/paid", "--on-chain", "--data", &paid.text];
	let answer = phala.ok(&asked).await?;
	check_answer(&answer, &paid, sum)?;
	let request = hash(&answer["request"])?;
	let (block, settled) = network.chain.settled(0, request).await?;
	network.chain.check_payment(block, &settled).await?;
	assert_eq!(answer["paid"]["fee"], settled.fee.to_string());
	assert_eq!(network.chain.issuance(block).await?, genesis_issuance);

	// For everybody to read: what proves that the search below would find something.
	let (public, asked) = (Mark::new("the public input")?, Mark::new("the plain question")?);
	let open = ["call", agent, "/public", "--on-chain", "--public", "--data", &public.text];
	check_answer(&phala.ok(&open).await?, &public, sum)?;
	let path = format!("/agents/{agent}/nothing?{}", asked.text);
	let plain = http(&network.workers[0].url(), "GET", &path, &[]).await?;
	assert_eq!(plain.status, 200, "{}", String::from_utf8_lossy(&plain.body));

	// The agent did say in its log what nobody else may: its owner reads it, sealed.
	let log = phala.of(DEVELOPER).ok(&["logs", agent]).await?.to_string();
	for mark in [&direct, &paid, &secret] {
		assert!(log.contains(&mark.text), "{} is in the agent's own log: {log}", mark.name);
	}

	let reversed = |mark: &Mark| mark.made(&format!("the answer to {}", mark.name), backwards);
	let capitals =
		|mark: &Mark| mark.made(&format!("the state after {}", mark.name), str::to_ascii_uppercase);
	let hidden = [
		secret,
		reversed(&direct),
		reversed(&paid),
		capitals(&direct),
		capitals(&paid),
		capitals(&public),
		direct,
		paid,
	];
	let mut search = Search::new(&[&hidden[..], &[public.clone(), asked.clone()]].concat());
	network.search(&mut search).await?;
	eprintln!("looked through {} bytes: {:#?}", search.bytes, search.found);
	for mark in &hidden {
		// Whoever asks in plain words for what is kept has it in plain words.
		let leaks: Vec<_> = search.places(&mark.name).into_iter().collect();
		assert!(leaks.is_empty(), "{} was found: {leaks:?}", mark.name);
	}
	for place in [
		"chain: transactions",
		"chain: events",
		"chain: storage",
		"traffic before slot",
		"traffic before the node, for relayers",
		"traffic before the node, for callers",
		"files",
	] {
		assert!(search.has(&public.name, place), "a public input must be found: {place}");
	}
	assert!(search.has(&asked.name, "traffic before slot"), "{:?}", search.places(&asked.name));
	Ok(())
}

fn check_answer(answer: &Value, input: &Mark, sum: u32) -> anyhow::Result<()> {
	ensure!(answer["verified"] == true, "{answer:#}");
	let body = &answer["answer"]["body"];
	ensure!(body["backwards"] == backwards(&input.text), "{answer:#}");
	ensure!(body["sum"] == sum, "{answer:#}");
	Ok(())
}

const _: &str = CALLER;
