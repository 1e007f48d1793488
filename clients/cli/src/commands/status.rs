//! `phala status --worker <url>`: what a worker's public server says of it (`GET /v1/info`). Nothing
//! of it is proven: it is what the worker, or whoever answers in its place, claims.

use super::readable;
use crate::limits;
use anyhow::{bail, Context};
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The worker's public server.
	#[arg(long, value_name = "URL")]
	pub worker: String,
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let info = info(&arguments.worker).await?;
	if json {
		println!("{info}");
	} else {
		print!("{}", text(&info));
	}
	Ok(ExitCode::SUCCESS)
}

/// What the worker at `url` says of itself.
///
/// # Errors
/// When nobody answers there, or no worker.
pub async fn info(url: &str) -> anyhow::Result<Value> {
	let at = format!("{}/v1/info", url.trim_end_matches('/'));
	let client = reqwest::Client::builder().timeout(limits::INFO_MAX).no_proxy().build()?;
	let answer = client.get(&at).send().await.with_context(|| {
		format!("no worker answers at {url}; give its public server, as in http://127.0.0.1:8000")
	})?;
	if !answer.status().is_success() {
		bail!("{at} answered with {}: is this a worker's public server?", answer.status());
	}
	let info = answer.json().await;
	info.with_context(|| format!("{at} answered with no JSON: is this a worker's public server?"))
}

fn text(info: &Value) -> String {
	const LINES: [(&str, &str); 13] = [
		("worker", "worker"),
		("boot", "boot"),
		("phase", "phase"),
		("height", "finalized block"),
		("queued", "messages to the chain"),
		("fresh", "view is fresh"),
		("freshness", "why it is not"),
		("viewAgeMs", "age of its view, ms"),
		("evidence", "evidence"),
		("identity", "identity key"),
		("encryption", "encryption key"),
		("genesis", "chain"),
		("version", "version"),
	];
	let mut text = String::new();
	for (key, name) in LINES {
		if key != "freshness" || !info[key].is_null() {
			text += &format!("{name:<22} {}\n", readable(&info[key]));
		}
	}
	text
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::json;

	#[test]
	fn what_a_worker_says_is_a_line_each_and_what_it_does_not_know_a_dash() {
		let text =
			text(&json!({ "worker": 3, "boot": null, "phase": "Serving", "freshness": null }));
		assert!(text.contains("worker                 3\n"), "{text}");
		assert!(text.contains("boot                   -\n"), "{text}");
		assert!(!text.contains("why it is not"), "{text}");
	}

	#[tokio::test]
	async fn a_worker_that_is_not_there_is_named() {
		let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
		let error = info(&format!("http://{free}")).await.unwrap_err();
		assert!(error.to_string().contains(&free.to_string()), "{error}");
	}
}
