//! The JavaScript engine that goes into every component, taken so that its snapshot is reproducible.
//!
//! The engine reads a clock and draws a seed while the agent's modules are evaluated, and both end up
//! in the snapshot. The package that takes the snapshot leaves no say in what it offers to the engine,
//! but it takes the engine itself as an argument. So it gets the engine that it has inside, with one
//! change: until `init`, the function that evaluates the modules, has returned, these imports answer
//! what is written here; from then on, that is in each request, they are the host's:
//!
//! | import | while the agent is built |
//! |---|---|
//! | `wasi:clocks/wall-clock` `now` | [`BUILD_TIME_S`], and stands still |
//! | `wasi:clocks/monotonic-clock` `now` | 0, and stands still |
//! | `wasi:random/insecure-seed` `insecure-seed` | [`BUILD_SEED`] |
//!
//! The last orders the engine's own hash tables and nothing else. What an agent draws (`Math.random`,
//! `crypto`) comes from `phala:agent/entropy`, which this does not touch: the SDK's prelude sees to that.

use crate::BuildError;
use sp_crypto_hashing::blake2_256;
use std::convert::Infallible;
use std::path::Path;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
	BlockType, CodeSection, ConstExpr, Function, FunctionSection, GlobalSection, GlobalType,
	InstructionSink, MemArg, ValType,
};
use wasmparser::{
	CodeSectionReader, ExternalKind, FunctionSectionReader, GlobalSectionReader, Parser, Payload,
	TypeRef,
};

/// The Unix epoch: plainly not a time that anything happened at.
const BUILD_TIME_S: i64 = 0;
const BUILD_SEED: [i64; 2] = [0, 0];

/// An engine inside of componentize-qjs 0.4.5: the one with asynchronous functions.
struct Pin {
	len: usize,
	/// blake2-256.
	hash: &'static str,
}

/// One build of it is in all packages for Linux; those for macOS each have their own.
const PINS: [Pin; 3] = [
	Pin {
		len: 1_537_220,
		hash: "3bf36b054ffef234d51afb97824dc0a233cb27de5c6ff0b3118bc2a93d088acd",
	},
	Pin {
		len: 1_537_226,
		hash: "18464dc7435808a65fede9102b6cd14685ddfa37a9f3276642ee53757e3dcb67",
	},
	Pin {
		len: 1_537_244,
		hash: "2031013291efd6955801d793d4dfb16a83bd1e12a5c7db3ec1f1d567684bc1c8",
	},
];

const WASM_HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";

/// The engine as it lies, whole and uncompressed, in the file of componentize-qjs.
pub(crate) fn find(binding: &Path) -> Result<Vec<u8>, BuildError> {
	let bytes = std::fs::read(binding)
		.map_err(|source| BuildError::Read { path: binding.to_owned(), source })?;
	find_in(&bytes, &PINS)
		.map(<[u8]>::to_vec)
		.ok_or_else(|| BuildError::EngineUnknown { path: binding.to_owned() })
}

fn find_in<'a>(bytes: &'a [u8], pins: &[Pin]) -> Option<&'a [u8]> {
	let starts = memchr::memmem::find_iter(bytes, &WASM_HEADER);
	let candidates = starts.flat_map(|start| pins.iter().map(move |pin| (start, pin)));
	candidates
		.filter_map(|(start, pin)| Some((bytes.get(start..start.checked_add(pin.len)?)?, pin)))
		.find(|(engine, pin)| hex::encode(blake2_256(engine)) == pin.hash)
		.map(|(engine, _)| engine)
}

/// The engine with its clocks and its seed as above.
pub(crate) fn with_build_time_host(engine: &[u8]) -> Result<Vec<u8>, EngineError> {
	let mut module = wasm_encoder::Module::new();
	Survey::of(engine)?.parse_core_module(&mut module, Parser::new(0), engine)?;
	Ok(module.finish())
}

/// Why the engine was not changed: it is another than this module was written for.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
	#[error("{0}")]
	Malformed(#[from] wasmparser::Error),
	#[error("{0}")]
	Rewrite(#[from] reencode::Error),
	#[error("it has no function {0}")]
	Missing(&'static str),
}

/// A function of the engine: its index, and that of its type.
#[derive(Clone, Copy)]
struct Func {
	index: u32,
	ty: u32,
}

/// What has to be known before the first byte is written.
struct Survey {
	funcs: u32,
	globals: u32,
	wall_clock: Func,
	monotonic_clock: Func,
	insecure_seed: Func,
	init: Func,
	init_params: u32,
}

const INIT: &str = "init";

impl Survey {
	fn of(engine: &[u8]) -> Result<Self, EngineError> {
		let (mut params, mut types, mut globals) = (Vec::new(), Vec::new(), 0);
		let (mut wall_clock, mut monotonic_clock, mut insecure_seed) = (None, None, None);
		let mut init = None;
		for payload in Parser::new(0).parse_all(engine) {
			match payload? {
				Payload::TypeSection(section) => {
					for ty in section.into_iter_err_on_gc_types() {
						params.push(ty?.params().len() as u32);
					}
				}
				Payload::ImportSection(imports) => {
					for import in imports.into_imports() {
						let import = import?;
						match import.ty {
							TypeRef::Func(ty) => {
								let func = Func { index: types.len() as u32, ty };
								types.push(ty);
								// Without the version of the interface.
								let interface = import.module.split('@').next().unwrap_or_default();
								match (interface, import.name) {
									("wasi:clocks/wall-clock", "now") => wall_clock = Some(func),
									("wasi:clocks/monotonic-clock", "now") => {
										monotonic_clock = Some(func)
									}
									("wasi:random/insecure-seed", "insecure-seed") => {
										insecure_seed = Some(func)
									}
									_ => {}
								}
							}
							TypeRef::Global(_) => globals += 1,
							_ => {}
						}
					}
				}
				Payload::FunctionSection(functions) => {
					for ty in functions {
						types.push(ty?);
					}
				}
				Payload::GlobalSection(section) => globals += section.count(),
				Payload::ExportSection(exports) => {
					for export in exports {
						let export = export?;
						if (export.name, export.kind) == (INIT, ExternalKind::Func) {
							init = Some(export.index);
						}
					}
				}
				_ => {}
			}
		}
		let init = init
			.and_then(|index| Some(Func { index, ty: *types.get(index as usize)? }))
			.ok_or(EngineError::Missing(INIT))?;
		let init_params = params.get(init.ty as usize).ok_or(EngineError::Missing(INIT))?;
		Ok(Self {
			funcs: types.len() as u32,
			globals,
			wall_clock: wall_clock.ok_or(EngineError::Missing("wasi:clocks/wall-clock now"))?,
			monotonic_clock: monotonic_clock
				.ok_or(EngineError::Missing("wasi:clocks/monotonic-clock now"))?,
			insecure_seed: insecure_seed
				.ok_or(EngineError::Missing("wasi:random/insecure-seed"))?,
			init,
			init_params: *init_params,
		})
	}

	/// What is replaced. The functions in their places follow, in this order, after all of the engine's.
	fn replaced(&self) -> [Func; 4] {
		[self.wall_clock, self.monotonic_clock, self.insecure_seed, self.init]
	}

	/// The global that tells whether `init` has returned: 0 or 1. It follows after all of the engine's.
	fn initialized(&self) -> u32 {
		self.globals
	}
}

impl Reencode for Survey {
	type Error = Infallible;

	/// All that called or named a replaced function has the one in its place.
	fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
		let place = self.replaced().iter().position(|func| func.index == index);
		Ok(place.map_or(index, |place| self.funcs + place as u32))
	}

	fn parse_function_section(
		&mut self,
		functions: &mut FunctionSection,
		section: FunctionSectionReader<'_>,
	) -> Result<(), reencode::Error> {
		reencode::utils::parse_function_section(self, functions, section)?;
		for func in self.replaced() {
			functions.function(func.ty);
		}
		Ok(())
	}

	fn parse_global_section(
		&mut self,
		globals: &mut GlobalSection,
		section: GlobalSectionReader<'_>,
	) -> Result<(), reencode::Error> {
		reencode::utils::parse_global_section(self, globals, section)?;
		let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
		globals.global(ty, &ConstExpr::i32_const(0));
		Ok(())
	}

	fn parse_code_section(
		&mut self,
		code: &mut CodeSection,
		section: CodeSectionReader<'_>,
	) -> Result<(), reencode::Error> {
		reencode::utils::parse_code_section(self, code, section)?;
		// The canonical ABI: a record and a tuple are written to where the last parameter points.
		code.function(&self.until_initialized(self.wall_clock, 1, |instead| {
			instead.local_get(0).i64_const(BUILD_TIME_S).i64_store(at(0));
			instead.local_get(0).i32_const(0).i32_store(at(8));
		}));
		code.function(&self.until_initialized(self.monotonic_clock, 0, |instead| {
			instead.i64_const(0);
		}));
		code.function(&self.until_initialized(self.insecure_seed, 1, |instead| {
			instead.local_get(0).i64_const(BUILD_SEED[0]).i64_store(at(0));
			instead.local_get(0).i64_const(BUILD_SEED[1]).i64_store(at(8));
		}));
		let mut init = Function::new([]);
		let mut body = init.instructions();
		call_with_params(&mut body, self.init, self.init_params);
		body.i32_const(1).global_set(self.initialized()).end();
		code.function(&init);
		Ok(())
	}
}

impl Survey {
	/// The function that does `instead`, and once `init` has returned what it takes the place of.
	fn until_initialized(
		&self,
		func: Func,
		params: u32,
		instead: impl FnOnce(&mut InstructionSink),
	) -> Function {
		let mut function = Function::new([]);
		let mut body = function.instructions();
		body.global_get(self.initialized()).i32_eqz().if_(BlockType::Empty);
		instead(&mut body);
		body.return_().end();
		call_with_params(&mut body, func, params);
		body.end();
		function
	}
}

fn call_with_params(body: &mut InstructionSink, func: Func, params: u32) {
	for param in 0..params {
		body.local_get(param);
	}
	body.call(func.index);
}

fn at(offset: u64) -> MemArg {
	MemArg { offset, align: 2, memory_index: 0 }
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_pinned_engine_is_found_among_other_modules_and_no_other_is() {
		let mut engine = WASM_HEADER.to_vec();
		engine.extend(b"engine");
		let hash = hex::encode(blake2_256(&engine));
		let pins = [Pin { len: engine.len(), hash: Box::leak(hash.into_boxed_str()) }];
		let mut file = b"before".to_vec();
		file.extend(WASM_HEADER);
		file.extend(b"enginE");
		assert_eq!(find_in(&file, &pins), None);
		file.extend(&engine);
		file.extend(b"after");
		assert_eq!(find_in(&file, &pins), Some(&engine[..]));
		assert_eq!(find_in(&file[..file.len() - 6], &pins), None, "it is cut");
	}

	#[test]
	fn an_engine_without_the_clocks_is_not_taken_for_changed() {
		let error = with_build_time_host(&WASM_HEADER).unwrap_err();
		assert!(error.to_string().contains("init"), "{error}");
	}
}
