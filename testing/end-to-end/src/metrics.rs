//! What a node exports to Prometheus, and what a Grafana board draws of it.

use anyhow::{ensure, Context};
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::{
	io::{AsyncReadExt, AsyncWriteExt},
	net::TcpStream,
};

/// All that a node exports now.
pub async fn page(address: &str) -> anyhow::Result<String> {
	let mut stream = TcpStream::connect(address).await.context(address.to_owned())?;
	stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
	let mut answer = String::new();
	stream.read_to_string(&mut answer).await?;
	let (head, page) = answer.split_once("\r\n\r\n").context("an answer has a body")?;
	ensure!(head.contains(" 200 "), "{head}");
	Ok(page.into())
}

/// The value of the first line that has this name, or this label.
pub fn value(page: &str, name: &str) -> Option<f64> {
	let has = |line: &str| {
		line.split_once(name).is_some_and(|(before, after)| {
			// Not the beginning of a longer name.
			before.is_empty() && after.starts_with(['{', ' ']) || before.contains('{')
		})
	};
	let line = page.lines().find(|line| !line.starts_with('#') && has(line))?;
	line.rsplit(' ').next()?.parse().ok()
}

/// Whether there is a metric of this very name.
pub fn is_exported(page: &str, name: &str) -> bool {
	page.lines()
		.any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
}

/// The metrics that a board's expressions name.
pub fn drawn(board: &Value) -> BTreeSet<String> {
	let mut names = BTreeSet::new();
	match board {
		Value::Object(fields) => {
			for (field, value) in fields {
				match value {
					Value::String(expression) if field == "expr" => {
						let is_of_name =
							|letter: char| letter.is_ascii_alphanumeric() || letter == '_';
						let words = expression.split(|letter: char| !is_of_name(letter));
						let metrics = words.filter(|word| {
							word.starts_with("substrate_") || word.starts_with("phala_")
						});
						names.extend(metrics.map(str::to_owned));
					}
					other => names.extend(drawn(other)),
				}
			}
		}
		Value::Array(values) => names.extend(values.iter().flat_map(drawn)),
		_ => {}
	}
	names
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::json;

	const PAGE: &str = "# HELP a\nsubstrate_a_long{chain=\"x\"} 1\nsubstrate_a{chain=\"x\"} 2\nsubstrate_b{chain=\"x\",kind=\"k\"} 3\nsubstrate_c 4.5\n";

	#[test]
	fn a_metric_is_found_by_its_whole_name_or_by_a_label() {
		assert_eq!(value(PAGE, "substrate_a"), Some(2.0));
		assert_eq!(value(PAGE, "substrate_c"), Some(4.5));
		assert_eq!(value(PAGE, r#"kind="k""#), Some(3.0));
		assert_eq!(value(PAGE, "substrate"), None);
		assert!(is_exported(PAGE, "substrate_a_long"));
		assert!(!is_exported(PAGE, "substrate_a_lon"));
	}

	#[test]
	fn a_board_draws_what_its_expressions_name() {
		let board = json!({ "panels": [{ "title": "substrate_no", "targets": [
			{ "expr": "rate(substrate_a[5m]) / phala_b{kind=\"k\"}" },
		] }] });
		assert_eq!(drawn(&board), BTreeSet::from(["phala_b".into(), "substrate_a".into()]));
	}
}
