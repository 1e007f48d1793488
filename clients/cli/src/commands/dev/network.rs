//! The parts of a network, started one after the other, and what is then shown of it.

use super::{
	agents,
	prices::{self, Sources},
	processes::{binary, Children},
	same_port,
	steps::{seconds, step},
	summary::{ChainSummary, DirectSummary, ProbeSummary, Summary, WorkerSummary},
	Arguments,
};
use crate::{
	chain as on_chain,
	commands::{status, worker},
	limits,
};
use anyhow::{bail, Context};
use phala_pherry::{chain::Chain, enclave::EnclaveDoor, submit};
use phala_primitives::{boot::SlotId, relay::EnclavePhase, H256};
use serde_json::Value;
use std::{
	path::{Path, PathBuf},
	time::{Instant, SystemTime},
};
use subxt_signer::sr25519::dev;

/// Development accounts with funds, one for each worker. //Alice is root.
const OPERATORS: [&str; limits::WORKERS_MAX as usize] =
	["//Bob", "//Charlie", "//Dave", "//Eve", "//Ferdie"];

const CHAIN: &str = "chain";

pub struct Network<'a> {
	pub arguments: &'a Arguments,
	pub temporary: &'a Path,
	pub children: &'a mut Children,
	/// What was found out so far.
	pub summary: &'a mut Summary,
}

/// A worker that was started.
struct Started {
	name: String,
	slot: SlotId,
	relay: String,
	public: String,
	relayer: String,
	at: Instant,
}

impl Network<'_> {
	/// Starts everything and shows that it works.
	///
	/// # Errors
	/// What did not work, and why.
	pub async fn show(&mut self) -> anyhow::Result<()> {
		let [node, pruntime, pherry] =
			[binary("phala-node")?, binary("pruntime")?, binary("pherry")?];
		let checkout = agents::checkout(self.arguments.checkout.as_deref())?;
		let sources = Sources::find().await?;
		self.summary.prices_are_stand_ins = Some(sources.are_stand_ins);
		if sources.are_stand_ins {
			eprintln!(
				"  prices come from three local stand-ins, not from a market; {} names others",
				prices::VARIABLE
			);
		}

		let build = build_agents(&checkout);
		let start = step("starting a new chain", start_chain(self.children, &node, self.arguments));
		let ((), (url, _)) = tokio::try_join!(build, start)?;
		let folders = agents::folders(&checkout, self.temporary, &sources)?;
		let chain = Chain::connect(&url).await?;
		let genesis = chain.genesis_hash();
		self.summary.chain =
			Some(ChainSummary { url: url.clone(), genesis: format!("{genesis:?}") });

		let slots = self.prepare(&chain, &pruntime).await?;
		let what = format!("starting {} workers and their relayers", slots.len());
		let workers =
			self.start_workers(&slots, genesis, &url, [&pruntime, &pherry], &folders, &sources);
		let (workers, _) = step(&what, workers).await?;
		for worker in &workers {
			self.wait_until_serving(worker).await?;
		}
		let first = workers.first().context("there is a worker")?;
		self.probe(&chain, first.slot).await?;
		self.ask_directly(&first.public).await
	}

	/// Allows the measurement and creates the slots, all in one block if it fits.
	async fn prepare(&mut self, chain: &Chain, pruntime: &Path) -> anyhow::Result<Vec<SlotId>> {
		let measurement = worker::measure(pruntime).await?;
		self.summary.measurement = Some(format!("{measurement:?}"));
		let operators = OPERATORS.iter().take(usize::from(self.arguments.workers));
		let tasks: Vec<_> = operators
			.map(|operator| {
				let chain = chain.clone();
				let operator = on_chain::account(operator);
				tokio::spawn(async move { on_chain::create_slot(&chain, &operator?).await })
			})
			.collect();
		let doing = async {
			on_chain::allow_measurement(chain, &dev::alice(), measurement).await?;
			let mut slots = Vec::new();
			for task in tasks {
				slots.push(task.await??);
			}
			Ok(slots)
		};
		let what = "allowing pruntime's measurement and creating the slots";
		Ok(step(what, doing).await?.0)
	}

	async fn start_workers(
		&mut self,
		slots: &[SlotId],
		genesis: H256,
		node: &str,
		[pruntime, pherry]: [&Path; 2],
		folders: &[PathBuf],
		sources: &Sources,
	) -> anyhow::Result<Vec<Started>> {
		let named = |number: usize| (format!("worker-{number}"), format!("relay-{number}"));
		let at = Instant::now();
		for (number, slot) in (1..).zip(slots) {
			let mut arguments = vec![
				format!("--genesis={genesis:?}"),
				format!("--slot={slot}"),
				format!("--software-platform=phala dev, machine {number}"),
				format!("--public-listen=127.0.0.1:{}", self.port(number, 0).unwrap_or(0)),
				format!("--relay-listen=127.0.0.1:{}", self.port(number, 1).unwrap_or(0)),
			];
			arguments
				.extend(folders.iter().map(|folder| format!("--dev-agent={}", folder.display())));
			let loopback = sources.loopback();
			arguments.extend(loopback.iter().map(|address| format!("--dev-loopback={address}")));
			self.children.start(&named(number).0, pruntime, &arguments)?;
		}
		let mut started = Vec::new();
		for ((number, slot), operator) in (1..).zip(slots).zip(OPERATORS) {
			let (name, relayer_name) = named(number);
			let relay = self.children.line_after(&name, "relay http://").await?;
			let public = self.children.line_after(&name, "public http://").await?;
			let relay = format!("http://{relay}");
			let arguments = [
				format!("--node={node}"),
				format!("--enclave={relay}"),
				// A secret that everybody knows.
				format!("--operator={operator}"),
				format!("--status-listen=127.0.0.1:{}", self.port(number, 2).unwrap_or(0)),
			];
			self.children.start(&relayer_name, pherry, &arguments)?;
			let relayer = self.children.line_after(&relayer_name, "status: ").await?;
			let public = format!("http://{public}");
			started.push(Started { name, slot: *slot, relay, public, relayer, at });
		}
		Ok(started)
	}

	/// Worker `number`'s port with --port-base.
	fn port(&self, number: usize, which: u16) -> Option<u16> {
		let number = u16::try_from(number).ok()?;
		Some(self.arguments.port_base? + limits::PORTS_PER_WORKER * number + which)
	}

	async fn wait_until_serving(&mut self, worker: &Started) -> anyhow::Result<()> {
		let door = EnclaveDoor::new(&worker.relay)?;
		let what = format!("{} to be registered", worker.name);
		let serving = self.children.until(&what, limits::SERVING_MAX, async |_| {
			let status = door.status().await?;
			Ok((status.phase == EnclavePhase::Serving).then_some(status))
		});
		let (serving, _) = step(&format!("waiting for {what} and to serve"), serving).await?;
		let info = status::info(&worker.public).await?;
		self.summary.workers.push(WorkerSummary {
			name: worker.name.clone(),
			slot: worker.slot,
			boot: serving.boot,
			public: worker.public.clone(),
			relay: worker.relay.clone(),
			relayer: worker.relayer.clone(),
			evidence: info["evidence"].clone(),
			identity: info["identity"].clone(),
			seconds: seconds(worker.at.elapsed()),
		});
		Ok(())
	}

	/// A message to a worker by way of the chain, and its answer on the chain.
	async fn probe(&mut self, chain: &Chain, slot: SlotId) -> anyhow::Result<()> {
		let nonce = nonce();
		let children = &mut *self.children;
		let asking = async {
			let asked = submit::probe(chain, &dev::alice(), slot, nonce).await?;
			let answer = children.until("the probe's answer", limits::PROBE_MAX, async |_| {
				on_chain::probe_answer(chain, slot, nonce, asked).await
			});
			let (answered, boot) = answer.await?;
			Ok((answered.saturating_sub(asked), boot))
		};
		let ((blocks, boot), took) =
			step("probing worker-1 through the chain and waiting for its answer there", asking)
				.await?;
		self.summary.probe = ProbeSummary {
			answered: true,
			boot: Some(boot),
			blocks: Some(blocks),
			seconds: Some(seconds(took)),
		};
		Ok(())
	}

	async fn ask_directly(&mut self, public: &str) -> anyhow::Result<()> {
		let url = format!("{public}/agents/{}/", agents::PRICE_ORACLE);
		let client = reqwest::Client::builder().timeout(limits::DIRECT_MAX).no_proxy().build()?;
		let asking = async {
			let answer = client.get(&url).send().await;
			let answer = answer.with_context(|| format!("{url} gave no answer"))?;
			let status = answer.status();
			let text = answer.text().await.with_context(|| format!("{url} broke off"))?;
			if !status.is_success() {
				if text.is_empty() {
					bail!("{url} answered with {status} and no reason: is this pruntime one that hosts agents? `make build` builds it");
				}
				bail!("{url} answered with {status}: {text}");
			}
			Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
		};
		let (answer, took) = step("asking price-oracle on worker-1's public door", asking).await?;
		self.summary.direct =
			DirectSummary { answer, url: Some(url), seconds: Some(seconds(took)) };
		Ok(())
	}
}

/// Builds those agents that need it, one after the other.
async fn build_agents(checkout: &Path) -> anyhow::Result<()> {
	for name in agents::stale(checkout)? {
		let checkout = checkout.to_owned();
		let building = tokio::task::spawn_blocking(move || agents::build(&checkout, name));
		let doing =
			async { building.await?.with_context(|| format!("agents/{name} was not built")) };
		step(&format!("building agents/{name}"), doing).await?;
	}
	Ok(())
}

/// Its JSON-RPC's address.
async fn start_chain(
	children: &mut Children,
	node: &Path,
	arguments: &Arguments,
) -> anyhow::Result<String> {
	let node_arguments = [
		"--dev".into(),
		"--tmp".into(),
		format!("--rpc-port={}", arguments.port_base.unwrap_or(0)),
		"--no-prometheus".into(),
		"--no-telemetry".into(),
		"--no-mdns".into(),
		"--listen-addr=/ip4/127.0.0.1/tcp/0".into(),
		// A throw-away node has no key file.
		"--unsafe-force-node-key-generation".into(),
	];
	children.start(CHAIN, node, &node_arguments)?;
	let line = children.line_after(CHAIN, "Running JSON-RPC server: addr=").await?;
	let address = line.split(',').next().unwrap_or_default();
	// A node whose port is taken takes another one.
	same_port(arguments.port_base, address)?;
	Ok(format!("ws://{address}"))
}

/// Nobody has to be unable to guess it: it only tells one probe from another.
fn nonce() -> [u8; 32] {
	let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
	let mut nonce = [0; 32];
	nonce[..16].copy_from_slice(&now.as_nanos().to_le_bytes());
	nonce
}
