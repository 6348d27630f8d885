//! `cargo xtask examples`: the example connectors in other languages as WebAssembly components, with the tools they need.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{find_program, run, step},
    project,
};

/// Builds both into `target/examples-components/`; one whose sources and tools have not changed is left as it is.
pub(crate) fn build() -> Result<()> {
    let (tools, components) =
        (project::target_dir().join("examples-tools"), project::target_dir().join("examples-components"));
    for folder in [&tools, &components] {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    for example in [PYTHON, JAVASCRIPT] {
        example.build(&tools.join(example.name), &components)?;
    }
    Ok(())
}

struct Example {
    /// Its folder in `plugins/examples`, and the name of its component.
    name: &'static str,
    sources: &'static [&'static str],
    /// The files that name the tools, in their versions.
    tools: &'static [&'static str],
    install: fn(source: &Path, tools: &Path) -> Result<()>,
    componentize: fn(wit: &Path, tools: &Path, output: &Path) -> Command,
}

const PYTHON: Example = Example {
    name: "python",
    sources: &["connector.py", "kit.py"],
    tools: &["requirements.txt"],
    install: install_python,
    componentize: |wit, tools, output| {
        let mut command = Command::new(tools.join("bin/componentize-py"));
        command.args(["--quiet", "--world", "connector-plugin", "--wit-path"]).arg(wit);
        command.args(["componentize", "--stub-wasi", "--python-path", ".", "connector", "--output"]).arg(output);
        command
    },
};

const JAVASCRIPT: Example = Example {
    name: "javascript",
    sources: &["connector.js", "kit.js"],
    tools: &["package.json", "package-lock.json"],
    install: install_javascript,
    componentize: |wit, tools, output| {
        let mut command = Command::new(tools.join("node_modules/.bin/componentize-js"));
        command.args(["connector.js", "--world-name", "connector-plugin", "--wit"]).arg(wit);
        command.args(["--disable", "http", "--disable", "fetch-event", "--out"]).arg(output);
        command
    },
};

impl Example {
    fn build(&self, tools: &Path, components: &Path) -> Result<()> {
        let source = project::root().join("plugins/examples").join(self.name);
        let wit = project::root().join("wit/v0_1");
        let named = |names: &[&str]| names.iter().map(|name| source.join(name)).collect::<Vec<_>>();

        let tools_hash = hash(&named(self.tools))?;
        if !is_built(tools, &tools_hash) {
            step(&format!("installing the tools for connectors in {} (once)", self.name));
            forget_built(tools)?;
            (self.install)(&source, tools)?;
            mark_built(tools, &tools_hash)?;
        }

        let component = components.join(self.name).with_extension("wasm");
        let mut inputs = named(self.sources);
        inputs.extend([wit.join("connector.wit"), project::root().join("xtask/src/examples.rs")]);
        let inputs_hash = format!("{tools_hash}-{}", hash(&inputs)?);
        if is_built(&component, &inputs_hash) {
            step(&format!("{} is as it was", component.display()));
            return Ok(());
        }
        step(&format!("building the connector in {} (up to a minute)", self.name));
        forget_built(&component)?;
        run((self.componentize)(&wit, tools, &component).current_dir(&source))?;
        mark_built(&component, &inputs_hash)?;
        step(&format!("{} is built", component.display()));
        Ok(())
    }
}

fn install_python(source: &Path, tools: &Path) -> Result<()> {
    let python = needed("python3", "Python 3.10 or later (Debian packages python3 and python3-venv)")?;
    let venv = Command::new(&python).args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status();
    if !venv.is_ok_and(|status| status.success()) {
        bail!(
            "python3 cannot make virtual environments: install Debian's python3-venv, or your system's package of that kind"
        );
    }
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(tools))?;
    let mut pip = Command::new(tools.join("bin/pip"));
    run(pip
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(source.join("requirements.txt")))
}

fn install_javascript(source: &Path, tools: &Path) -> Result<()> {
    let npm = needed("npm", "Node.js 20 or later with npm")?;
    fs::create_dir_all(tools)?;
    for name in JAVASCRIPT.tools {
        fs::copy(source.join(name), tools.join(name)).with_context(|| format!("{name} cannot be copied"))?;
    }
    run(Command::new(npm).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(tools))
}

fn needed(program: &str, what: &str) -> Result<PathBuf> {
    find_program(program).with_context(|| format!("{program} is not on the PATH: install {what}"))
}

/// What a folder or file was made from stands beside it.
fn stamp(path: &Path) -> PathBuf {
    path.with_extension("made-from")
}

fn is_built(path: &Path, hash: &str) -> bool {
    path.exists() && fs::read_to_string(stamp(path)).is_ok_and(|made_from| made_from == hash)
}

fn mark_built(path: &Path, hash: &str) -> Result<()> {
    fs::write(stamp(path), hash).with_context(|| format!("{} cannot be written", stamp(path).display()))
}

/// What is made anew, and may be left half made, is not built.
fn forget_built(path: &Path) -> Result<()> {
    match fs::remove_file(stamp(path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", stamp(path).display()))
        }
        _ => Ok(()),
    }
}

/// Differs when a file differs. Another Rust may hash in another way, which costs a build.
fn hash(files: &[PathBuf]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
