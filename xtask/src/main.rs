//! `cargo xtask COMMAND`: one command for each thing a developer does here.
//!
//! Each command is a file of its own. This crate knows how to build, start and stop things; it may not depend on any
//! other crate of the workspace, and its dependencies stay few: compiling it is the first thing a newcomer waits for.

mod api;
mod bench;
mod components;
mod demo;
mod examples;
mod mutate;
mod packages;
mod process;
mod project;
mod run;
mod scratch;
mod services;
mod test;

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
Usage: cargo xtask COMMAND

  run       Build and start the server on http://127.0.0.1:8080, with everything it keeps in ./data
              --demo             also index this project's docs/ and ask a question about them
              --postgres         two hosts on a private PostgreSQL and Redis instead (nothing is kept afterwards)
              --release          build with optimisations (--dev is the default)
              --listen ADDR      address of the first host [127.0.0.1:8080]
              --data-dir DIR     where the server keeps its data [data]
              -- ARGS            further arguments for `tributary serve`, for example --root catalogue=/srv/files
  test      Check formatting and lints and run every test, on SQLite and on a private PostgreSQL and Redis
              --full             add the long tier: crash storms, soaks, big trees
              -- ARGS            only these tests: filters and options for `cargo nextest run`
  bench     Run the benchmarks, optimised: sync, sandbox, connectors, extract, query, startup, schedules (host), call (sandbox), ingest (store)
              [NAME]             only this one
              -- ARGS            arguments for the benchmark, such as --json
  plugins   Build the connectors and the extractor as WebAssembly components
              --all              the misbehaving ones of the tests too
  examples  Build the example connectors in Python and JavaScript as components, into target/examples-components/
  mutate-tenancy
            Leave out each tenant predicate of the store's SQL once and list those that no test misses
  services  Start a private PostgreSQL and Redis, print their addresses and keep them until Ctrl-C
";

fn main() -> ExitCode {
    let outcome = process::listen_for_signals().and_then(|()| dispatch(Parser::from_env()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<process::Interrupted>() => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut args: Parser) -> Result<()> {
    let command = match args.next()? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => {
            print!("{HELP}");
            return Ok(());
        }
        Some(Arg::Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "run" => run::run(run_options(&mut args)?),
        "test" => test::test(test_options(&mut args)?),
        "bench" => bench_options(&mut args).and_then(|(name, rest)| bench::bench(name, rest)),
        "plugins" => plugins(&mut args),
        "examples" => finished(&mut args).and_then(|()| examples::build()),
        "mutate-tenancy" => finished(&mut args).and_then(|()| mutate::mutate_tenancy()),
        "services" => finished(&mut args).and_then(|()| services::services()),
        "help" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no command {other:?}; `cargo xtask help` lists them"),
    }
}

fn run_options(args: &mut Parser) -> Result<run::Options> {
    let mut options = run::Options::default();
    while let Some(arg) = next(args, &mut options.serve_args)? {
        match arg {
            Arg::Long("demo") => options.demo = true,
            Arg::Long("postgres") => options.postgres = true,
            Arg::Long("release") => options.release = true,
            Arg::Long("dev") => options.release = false,
            Arg::Long("listen") => options.listen = address(&args.value()?.string()?)?,
            Arg::Long("data-dir") => options.data_dir = args.value()?.into(),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn test_options(args: &mut Parser) -> Result<test::Options> {
    let mut options = test::Options::default();
    while let Some(arg) = next(args, &mut options.filters)? {
        match arg {
            Arg::Long("full") => options.full = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn bench_options(args: &mut Parser) -> Result<(Option<String>, Vec<String>)> {
    let (mut name, mut rest) = (None, Vec::new());
    while let Some(arg) = next(args, &mut rest)? {
        match arg {
            Arg::Value(value) if name.is_none() => name = Some(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok((name, rest))
}

fn plugins(args: &mut Parser) -> Result<()> {
    let mut packages = components::PRODUCT.to_vec();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("all") => packages.extend(components::MISBEHAVING),
            other => return Err(other.unexpected().into()),
        }
    }
    components::build(&packages)
}

/// The next argument of ours; what follows `--` goes to `rest` untouched.
fn next<'a>(args: &'a mut Parser, rest: &mut Vec<String>) -> Result<Option<Arg<'a>>> {
    if let Some(raw) = args.try_raw_args()
        && raw.peek().is_some_and(|arg| arg == "--")
    {
        rest.extend(raw.skip(1).map(|arg| arg.string()).collect::<Result<Vec<_>, _>>()?);
        return Ok(None);
    }
    Ok(args.next()?)
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().with_context(|| format!("--listen takes an address and a port, like 127.0.0.1:8080, not {text:?}"))
}

fn finished(args: &mut Parser) -> Result<()> {
    args.next()?.map_or(Ok(()), |arg| Err(arg.unexpected().into()))
}
