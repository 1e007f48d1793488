//! What was sealed is worth nothing to others.

use crate::Stage;
use anyhow::{ensure, Context};
use codec::{Decode, DecodeAll};
use phala_end_to_end::{
	chain::hash,
	cluster::http,
	money::{entry, Submitted},
	search::Mark,
};
use phala_protocol::{
	mailbox::Channel,
	messages::{Message, RequestsMessage},
	refusals::Refusal,
	requests::{RequestInput, RequestOrder, RequestOutcome},
	Balance, H256,
};
use subxt::dynamic::Value;
use subxt_signer::sr25519::dev;

const PHA: Balance = 1_000_000_000_000;

pub async fn a_copied_sealed_input_is_worth_nothing_to_another_caller(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let input = Mark::new("the copied input")?;
	let (phala, agent) = (stage.network.phala.clone(), stage.agent.clone());
	let ask = ["call", &agent, "/copied", "--on-chain", "--data", &input.text];
	let answer = phala.ok(&ask).await?;
	stage.check(&answer, &input)?;
	stage.hide(&input);

	let original = order(stage, hash(&answer["request"])?).await?;
	let RequestInput::Sealed(sealed) = original.input else {
		anyhow::bail!("it went sealed: {original:?}")
	};
	let chain = &stage.network.chain;
	// The thief comes with the very bytes, within their time, and pays as much.
	let deadline = chain.best().await? + 40;
	let fields = vec![
		Value::from_bytes(original.agent.0),
		Value::unnamed_variant("Call", []),
		Value::unnamed_variant("Sealed", [Value::from_bytes(&sealed)]),
		Value::u128(PHA),
		Value::u128(deadline.into()),
		Value::u128(0),
	];
	let from = chain.best().await?;
	let events = chain.submit(&dev::alice(), "Requests", "submit", fields).await?;
	let event = events.iter().find(|event| event.name == "Requests.RequestSubmitted");
	let stolen: Submitted = event.context("it was submitted")?.decode()?;
	assert_ne!(stolen.request, original.request);
	let (block, settled) = chain.settled(from, stolen.request).await?;
	assert!(settled.failed, "{settled:?}");
	chain.check_payment(block, &settled).await?;

	let key = entry("Requests", "Responses", stolen.request.as_bytes());
	let response = chain.value(&key, block).await?.context("there is a response")?;
	let response = Vec::<u8>::decode_all(&mut &response[..])?;
	assert_eq!(
		RequestOutcome::decode_all(&mut &response[..])?,
		RequestOutcome::Failed(Refusal::OriginIsNotCaller.code())
	);
	// To the right caller the command line says so.
	let gone = phala.refused(&["request", "status", &format!("{:?}", stolen.request)]).await?;
	assert!(gone.contains("not made on this machine"), "{gone}");
	Ok(())
}

/// The order that the chain gave to the workers.
async fn order(stage: &Stage, request: H256) -> anyhow::Result<RequestOrder> {
	let pushed = stage.network.chain.event(0, "Mailbox.MessagePushed", |event| {
		let (_, _, _, body) = <(Channel, u64, u32, Vec<u8>)>::decode(&mut &event.fields[..])?;
		let order = match Message::decode(&mut &body[..])? {
			Message::Requests(RequestsMessage::Request(order)) => Some(order),
			_ => None,
		};
		Ok(order.filter(|order| order.request == request))
	});
	pushed.await
}

pub async fn a_repeated_direct_call_is_refused_by_every_worker(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let path = format!("/v1/agents/{}/call", stage.agent);
	let head = format!("POST {path} ");
	let workers = stage.network.worker_ids();
	let before = stage.network.in_step(&stage.agent, &workers).await?;
	let mut captured = Vec::new();
	for proxy in stage.network.workers().filter_map(|worker| worker.public.as_ref()) {
		captured.extend(proxy.bodies_of(&head));
	}
	ensure!(!captured.is_empty(), "direct calls were recorded");
	for body in &captured {
		for worker in stage.network.workers() {
			let refused = http(&worker.url(), "POST", &path, body).await?;
			let said: serde_json::Value = serde_json::from_slice(&refused.body)?;
			assert_eq!((refused.status, &said["error"]), (409, &"Repeated".into()), "{said}");
		}
	}
	let after = stage.network.in_step(&stage.agent, &workers).await?;
	assert_eq!(before, after, "no state was changed");
	Ok(())
}
