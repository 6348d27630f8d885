//! `tributary user`: accounts, for the operator.

use std::io::Read;

use anyhow::Context;
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tributary_store::UserUpdate;

use super::{
    operator::{Common, Operator, user_json, user_target},
    record,
};
use crate::auth::{NewAccount, generate_password};

#[derive(Args)]
pub(super) struct User {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show every account
    List(Box<Common>),
    /// Make an account
    Add(Box<Add>),
    /// Set a new password; every session of the account ends
    SetPassword(Box<SetPassword>),
    /// Let somebody log in again
    Activate(Box<One>),
    /// End every session of somebody and let them log in no more
    Deactivate(Box<One>),
}

#[derive(Args)]
struct One {
    /// E-mail address
    email: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Add {
    /// E-mail address
    email: String,
    /// For people
    #[arg(long, default_value = "")]
    name: String,
    /// Administers this server
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    password: Password,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct SetPassword {
    /// E-mail address
    email: String,
    #[command(flatten)]
    password: Password,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Password {
    /// Read the password from standard input; one is made and printed otherwise
    #[arg(long)]
    password_stdin: bool,
}

impl Password {
    /// The password, and the same to be shown when it was made here.
    fn take(&self) -> anyhow::Result<(SecretString, Option<SecretString>)> {
        if !self.password_stdin {
            let made = generate_password();
            return Ok((made.clone(), Some(made)));
        }
        let mut text = String::new();
        std::io::stdin().take(2_048).read_to_string(&mut text).context("the password could not be read")?;
        Ok((text.trim_end_matches(['\r', '\n']).into(), None))
    }
}

impl User {
    pub(super) fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            match self.command {
                Command::List(common) => list(common.open().await?).await,
                Command::Add(add) => add.run().await,
                Command::SetPassword(set) => set.run().await,
                Command::Activate(one) => one.set(true).await,
                Command::Deactivate(one) => one.set(false).await,
            }
        })
    }
}

async fn list(operator: Operator) -> anyhow::Result<()> {
    let (mut users, mut after) = (Vec::new(), None);
    loop {
        let page = operator.db.system().list_users(after, 1_000).await?;
        after = page.items.last().map(|user| user.id);
        users.extend(page.items.iter().map(user_json));
        if !page.more {
            break;
        }
    }
    let text = |user: &serde_json::Value, field: &str| user[field].as_str().unwrap_or_default().to_owned();
    operator.print(["E-MAIL", "NAME", "ADMIN", "ACTIVE", "SINCE", "ID"], &users, |user| {
        let yes = |field: &str| if user[field] == true { "yes" } else { "no" }.to_owned();
        let since = text(user, "created_at").chars().take(10).collect();
        [text(user, "email"), text(user, "name"), yes("instance_admin"), yes("active"), since, text(user, "id")]
    })
}

impl Add {
    async fn run(self) -> anyhow::Result<()> {
        let (password, made) = self.password.take()?;
        let operator = self.common.open().await?;
        let account = NewAccount {
            email: self.email,
            name: self.name,
            password: password.expose_secret().to_owned(),
            instance_admin: self.admin,
        };
        let user = operator.auth.create_account(account).await?;
        operator.done("user add", None, user_target(user.id)).await?;
        show_password(&operator, &format!("{} can log in now.", user.email), user_json(&user), made.as_ref())
    }
}

impl SetPassword {
    async fn run(self) -> anyhow::Result<()> {
        let (password, made) = self.password.take()?;
        let operator = self.common.open().await?;
        let user = operator.user(&self.email).await?;
        operator.auth.set_password(user.id, password.expose_secret()).await?;
        operator.done("user set-password", None, user_target(user.id)).await?;
        let sentence = format!("{} has a new password, and every session of theirs is ended.", user.email);
        show_password(&operator, &sentence, user_json(&user), made.as_ref())
    }
}

impl One {
    async fn set(self, active: bool) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let user = operator.user(&self.email).await?;
        let update = UserUpdate { active: Some(active), ..UserUpdate::default() };
        let user = operator.auth.update_account(user.id, update).await?;
        let (action, can) =
            if active { ("activate", "can log in again") } else { ("deactivate", "can log in no more") };
        operator.done(&format!("user {action}"), None, user_target(user.id)).await?;
        operator.say(&format!("{} {can}.", user.email), &user_json(&user))
    }
}

/// A password that was made is shown once, here.
fn show_password(
    operator: &Operator,
    sentence: &str,
    mut user: serde_json::Value,
    made: Option<&SecretString>,
) -> anyhow::Result<()> {
    let mut sentence = sentence.to_owned();
    if let Some(made) = made {
        user["password"] = json!(made.expose_secret());
        sentence += &format!("\nPassword: {}   (shown once: keep it)", made.expose_secret());
    }
    operator.say(&sentence, &user)
}
