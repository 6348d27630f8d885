//! `tributary recipe`: configurations of the api connector for well-known services, without a server.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table, presets};

#[derive(Args)]
pub(super) struct Recipe {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the recipes
    List(List),
    /// Say what a recipe needs, or print the configuration once it is given
    Show(Show),
}

#[derive(Args)]
struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Show {
    /// Which recipe, such as woocommerce
    name: String,
    /// A parameter as NAME=VALUE; may be given more than once. The configuration is printed, ready for a source
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Print the recipe as JSON
    #[arg(long, conflicts_with = "set")]
    json: bool,
}

impl Recipe {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::List(list) => list.run(),
            Command::Show(show) => show.run(),
        }
    }
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let recipes = tributary_recipes::list();
        if self.json {
            println!("{}", serde_json::to_string_pretty(recipes)?);
            return Ok(());
        }
        let mut table = table(["RECIPE", "FOR", "NEEDS"]);
        for recipe in recipes {
            let needs = recipe.parameters.iter().filter(|parameter| parameter.required);
            let needs: Vec<_> = needs.map(|parameter| parameter.name.as_str()).collect();
            table.add_row([recipe.name.as_str(), &recipe.title, &needs.join(", ")]);
        }
        println!("{table}");
        Ok(())
    }
}

impl Show {
    fn run(self) -> anyhow::Result<()> {
        let recipe = tributary_recipes::get(&self.name)?;
        if !self.set.is_empty() {
            let given: BTreeMap<_, _> = self.set.into_iter().collect();
            println!("{}", serde_json::to_string_pretty(&tributary_recipes::render(&recipe.name, &given)?)?);
            return Ok(());
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(recipe)?);
            return Ok(());
        }
        println!("{}\n\n{}\n\nCredential: {}\n", recipe.title, recipe.description, recipe.credential);
        let mut table = table(["PARAMETER", "VALUE", "WHAT IT IS"]);
        let mut command = format!("tributary recipe show {}", recipe.name);
        for parameter in &recipe.parameters {
            let value = match (&parameter.default, &parameter.example) {
                (Some(default), _) => format!("[{default}]"),
                (None, Some(example)) if parameter.required => format!("such as {example}"),
                (None, Some(example)) => format!("optional, such as {example}"),
                (None, None) => "optional".to_owned(),
            };
            table.add_row([parameter.name.as_str(), &value, &parameter.description]);
            if parameter.required {
                let example = parameter.example.as_deref().unwrap_or("VALUE");
                command.push_str(&format!(" --set {}={example}", parameter.name));
            }
        }
        println!("{table}\n\nThe configuration, filled in:\n  {command}");
        Ok(())
    }
}

fn assignment(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text.split_once('=').context("a parameter is given as NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

fn table(header: [&str; 3]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}
