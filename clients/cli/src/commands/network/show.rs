//! What is shown of a network that is up: a direct question, a paid request, a question to a
//! language model behind a sealed key.

use super::{
	agents,
	chat::{self, Endpoint},
	parts::Deployed,
	prices::{self, Sources},
	summary::{CallSummary, Summary},
};
use crate::{
	accounts::{Account, Accounts},
	calls::{
		self, direct, ending,
		on_chain::{self, Choices, Ended, Submitted},
		Answered,
	},
	commands::request::ending_text,
	output::{
		calls::{body, Check, Verdict},
		words::Amount,
	},
	proof::Finality,
	steps::{seconds, step},
	terminal,
};
use anyhow::{bail, Context};
use phala_chain_client::Chain;
use phala_protocol::agents::AgentId;
use serde_json::{json, Value};

const QUESTION: &str = "Why should I believe your answer?";

/// Tells that what answers is not the real thing.
pub fn say_stand_ins(sources: &Sources, endpoint: &Endpoint) {
	if sources.are_stand_ins {
		say!(
			"  prices come from three local stand-ins, not from a market; {} names others",
			prices::VARIABLE
		);
	}
	if endpoint.is_stand_in {
		say!(
			"  a local stand-in plays the language model; {} and {} name another",
			chat::URL_VARIABLE,
			chat::KEY_VARIABLE
		);
	}
}

/// All three at once.
pub async fn everything(
	chain: &Chain,
	owner: &str,
	caller: &str,
	deployed: &[Deployed],
	endpoint: &Endpoint,
) -> anyhow::Result<(CallSummary, CallSummary, CallSummary)> {
	let of = |name: &str| {
		let found = deployed.iter().find(|agent| agent.name == name);
		found.map(|agent| agent.id).with_context(|| format!("{name} is not deployed"))
	};
	let (oracle, chat) = (of(agents::PRICE_ORACLE)?, of(agents::CHAT)?);
	let (owner, caller) = (Account::of_secret(owner)?, Account::of_secret(caller)?);
	tokio::try_join!(
		ask(chain, &caller, oracle, agents::PRICE_ORACLE, "/", None),
		pay(chain, &caller, oracle),
		talk(chain, &owner, &caller, chat, endpoint),
	)
}

async fn ask(
	chain: &Chain,
	caller: &Account,
	agent: AgentId,
	name: &str,
	path: &str,
	body: Option<&Value>,
) -> anyhow::Result<CallSummary> {
	let input = calls::input(path, body);
	let asking = direct::call(chain, caller, agent, name, &input);
	let what = format!("asking {name} directly, sealed, and checking its answer");
	let (direct, took) = step(&what, asking).await?;
	let summary = summary(&direct.answered);
	Ok(CallSummary { url: Some(direct.worker.endpoint), seconds: Some(seconds(took)), ..summary })
}

async fn pay(chain: &Chain, caller: &Account, agent: AgentId) -> anyhow::Result<CallSummary> {
	// Of this network alone: nothing is kept.
	let home = tempfile::tempdir().context("cannot make a temporary folder")?;
	let accounts = Accounts::in_home(home.path());
	let input = calls::input("/", Some(&json!({})));
	let paying = async {
		let choices = Choices::default();
		let mut finality = Finality::default();
		let submitted =
			on_chain::submit(chain, &mut finality, &accounts, caller, agent, &input, choices);
		let submitted = submitted.await?;
		let request = submitted.request;
		let (_, ended) = on_chain::answer(chain, &mut finality, &accounts, request).await?;
		Ok((submitted, ended))
	};
	let what = "asking price-oracle through the chain, sealed and paid, and checking its answer";
	let ((submitted, ended), took) = step(what, paying).await?;
	let mut summary = summary(&ended.answered);
	summary.paid = Some((&ended.settled).into());
	summary.base_fee = Some(Amount(submitted.terms.base_fee));
	summary.request = Some(submitted.request.into());
	summary.blocks = Some(ended.block.saturating_sub(submitted.block));
	summary.seconds = Some(seconds(took));
	terminal::say(&payments(&ended));
	Ok(summary)
}

fn payments(ended: &Ended) -> String {
	ending_text(ended)
}

async fn talk(
	chain: &Chain,
	owner: &Account,
	caller: &Account,
	agent: AgentId,
	endpoint: &Endpoint,
) -> anyhow::Result<CallSummary> {
	let secrets = [(chat::SECRET.as_bytes().to_vec(), endpoint.key.clone().into_bytes())];
	// Of this network alone: nothing is kept.
	let home = tempfile::tempdir().context("cannot make a temporary folder")?;
	let accounts = Accounts::in_home(home.path());
	let giving = async {
		let choices = Choices::default();
		let submitted =
			on_chain::submit_secrets(chain, owner, &accounts, agent, &secrets, choices).await?;
		let Submitted { request, block, terms } = submitted;
		let (_, paid) = ending::settlement(chain, request, block, Some(terms.base_fee)).await?;
		if paid.failed {
			bail!("chat did not take its key");
		}
		Ok(())
	};
	step("sealing the language model's key to chat", giving).await?;
	let question = json!({ "message": QUESTION });
	ask(chain, caller, agent, agents::CHAT, "/", Some(&question)).await
}

fn summary(answered: &Answered) -> CallSummary {
	let Answered { answer, verification, .. } = answered;
	CallSummary {
		answer: answered.output().map(|output| body(&output.body)).into(),
		status: Some(answer.output.status),
		verified: verification.verified,
		checks: verification.checks.iter().map(Check::from).collect(),
		proof: Some((&answer.proof).into()),
		..Default::default()
	}
}

/// Refuses an answer that was not verified, by its check, or not paid, or is an agent's own refusal: a
/// proof that it could not do its work shows nothing that works.
pub fn check(summary: &Summary) -> anyhow::Result<()> {
	for (name, call) in
		[("direct", &summary.direct), ("on-chain", &summary.on_chain), ("chat's", &summary.chat)]
	{
		if !call.verified {
			let refused = call.checks.iter().find(|check| check.verdict == Verdict::Refused);
			let why = refused.map_or_else(String::new, |check| {
				format!(", by the check of its {}: {}", check.name, check.detail)
			});
			bail!("the {name} answer is not proven{why}");
		}
		if !call.status.is_some_and(|status| (200..300).contains(&status)) {
			let status = call.status.map_or_else(|| "no".into(), |status| status.to_string());
			bail!("the {name} answer is proven, but has status {status}: {}", call.answer);
		}
	}
	if !summary.shows_everything() {
		bail!("the on-chain answer was not paid");
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::commands::network::summary;

	#[test]
	fn a_proven_answer_that_says_that_the_agent_could_not_do_its_work_is_no_success() {
		let answered =
			|status| CallSummary { verified: true, status: Some(status), ..Default::default() };
		let paid = CallSummary { paid: Some(summary::tests::paid()), ..answered(200) };
		let mut shown = Summary {
			direct: answered(200),
			on_chain: paid,
			chat: answered(200),
			..Default::default()
		};
		check(&shown).unwrap();
		shown.direct = CallSummary { answer: json!({ "error": "no source" }), ..answered(502) };
		let error = check(&shown).unwrap_err().to_string();
		assert!(error.contains("direct") && error.contains("502"), "{error}");
		assert!(error.contains("no source"), "{error}");
		shown.direct = CallSummary { status: None, ..answered(200) };
		assert!(check(&shown).is_err());
	}
}
