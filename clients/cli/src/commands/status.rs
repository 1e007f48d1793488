//! `phala status --worker <url>`: what a worker's public server says of it (`GET /v1/info`). Nothing
//! of it is proven: it is what the worker, or whoever answers in its place, claims.

use super::readable;
use crate::{
	limits,
	output::{self, operators::WorkerStatus},
};
use anyhow::{bail, Context};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The worker's public server.
	#[arg(long, value_name = "URL")]
	pub worker: String,
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let info = info(&arguments.worker).await?;
	output::tell(json, &info, text(&info)?.trim_end())?;
	Ok(ExitCode::SUCCESS)
}

/// What the worker at `url` says of itself.
///
/// # Errors
/// When nobody answers there, or no worker.
pub async fn info(url: &str) -> anyhow::Result<WorkerStatus> {
	let at = format!("{}/v1/info", url.trim_end_matches('/'));
	let client = reqwest::Client::builder().timeout(limits::INFO_MAX).no_proxy().build()?;
	let answer = client.get(&at).send().await.with_context(|| {
		format!("no worker answers at {url}; give its public server, as in http://127.0.0.1:8000")
	})?;
	if !answer.status().is_success() {
		bail!("{at} answered with {}: is this a worker's public server?", answer.status());
	}
	let info = answer.json().await;
	info.with_context(|| {
		format!("{at} does not say what a worker does: is this a worker's public server?")
	})
}

fn text(info: &WorkerStatus) -> anyhow::Result<String> {
	const LINES: [(&str, &str); 16] = [
		("worker", "worker"),
		("boot", "boot"),
		("phase", "phase"),
		("height", "finalized block"),
		("queued", "messages to the chain"),
		("fresh", "view is fresh"),
		("freshness", "why it is not"),
		("suspended", "why it serves no more"),
		("viewAgeMs", "age of its view, ms"),
		("evidence", "evidence"),
		("cluster", "cluster"),
		("clusterKeys", "has the cluster's keys"),
		("identity", "identity key"),
		("encryption", "encryption key"),
		("genesis", "chain"),
		("version", "version"),
	];
	let info = serde_json::to_value(info)?;
	let mut text = String::new();
	for (key, name) in LINES {
		let is_reason = ["freshness", "suspended"].contains(&key);
		if !is_reason || !info[key].is_null() {
			text += &format!("{name:<22} {}\n", readable(&info[key]));
		}
	}
	Ok(text)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::output::operators::Phase;
	use serde_json::json;

	#[test]
	fn what_a_worker_says_is_a_line_each_and_what_it_does_not_know_a_dash() {
		let said =
			json!({ "worker": 3, "boot": null, "phase": "serving", "of a later": "release" });
		let text = text(&serde_json::from_value(said).unwrap()).unwrap();
		assert!(text.contains("phase                  serving\n"), "{text}");
		assert!(text.contains("worker                 3\n"), "{text}");
		assert!(text.contains("boot                   -\n"), "{text}");
		assert!(!text.contains("why it is not"), "{text}");
	}

	#[test]
	fn a_phase_of_a_later_release_is_unknown_and_what_says_none_is_no_worker() {
		let read = |said| serde_json::from_value::<WorkerStatus>(said);
		assert_eq!(read(json!({ "phase": "dreaming" })).unwrap().phase, Phase::Unknown);
		assert!(read(json!({})).is_err());
	}

	#[tokio::test]
	async fn a_worker_that_is_not_there_is_named() {
		let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
		let error = info(&format!("http://{free}")).await.unwrap_err();
		assert!(error.to_string().contains(&free.to_string()), "{error}");
	}
}
