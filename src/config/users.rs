//! Whom a new server knows, and who may come from where.

use crate::access::{Access, Algorithm, PasswordHash, Pattern, Permission, Salt, Tags, User};
use crate::ids::Name;
use clap::Args;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

#[derive(Args, Clone, Debug)]
pub struct Users {
    /// The user that a new data folder begins with
    ///
    /// RabbitMQ: default_user, RABBITMQ_DEFAULT_USER.
    #[arg(long, env = "HAREMQ_DEFAULT_USER", value_name = "NAME", default_value = "guest", value_parser = user)]
    pub default_user: String,

    /// The password of that user. On a command line everybody can read it: a variable or a file keeps it better
    ///
    /// RabbitMQ: default_pass, RABBITMQ_DEFAULT_PASS.
    #[arg(
        long,
        env = "HAREMQ_DEFAULT_PASS",
        value_name = "PASSWORD",
        default_value = "guest",
        hide_env_values = true
    )]
    default_pass: Secret,

    /// The vhost that a new data folder begins with
    ///
    /// RabbitMQ: default_vhost, RABBITMQ_DEFAULT_VHOST.
    #[arg(long, env = "HAREMQ_DEFAULT_VHOST", value_name = "NAME", default_value = "/", value_parser = vhost)]
    pub default_vhost: String,

    /// The tags of that user
    ///
    /// RabbitMQ: default_user_tags.
    #[arg(long, env = "HAREMQ_DEFAULT_USER_TAGS", value_name = "TAG", default_value = "administrator",
          value_parser = tags)]
    default_user_tags: Tags,

    /// What that user may configure in that vhost: a regular expression
    ///
    /// RabbitMQ: default_permissions.configure; so the next two.
    #[arg(long, env = "HAREMQ_DEFAULT_PERMISSIONS_CONFIGURE", value_name = "PATTERN", default_value = ".*",
          value_parser = pattern)]
    default_permissions_configure: String,

    /// What that user may write to
    #[arg(long, env = "HAREMQ_DEFAULT_PERMISSIONS_WRITE", value_name = "PATTERN", default_value = ".*",
          value_parser = pattern)]
    default_permissions_write: String,

    /// What that user may read
    #[arg(long, env = "HAREMQ_DEFAULT_PERMISSIONS_READ", value_name = "PATTERN", default_value = ".*",
          value_parser = pattern)]
    default_permissions_read: String,

    /// Users who may come from this machine only, or none
    ///
    /// RabbitMQ: loopback_users.
    #[arg(
        long,
        env = "HAREMQ_LOOPBACK_USERS",
        value_name = "NAME",
        default_value = "guest",
        value_delimiter = ','
    )]
    loopback_users: Vec<String>,

    /// How new passwords are kept
    ///
    /// RabbitMQ: password_hashing_module.
    #[arg(long, env = "HAREMQ_PASSWORD_HASHING", value_name = "sha256|sha512|md5|argon2id", default_value = "sha256",
          value_parser = algorithm)]
    pub password_hashing: Algorithm,
}

/// A word that is never shown.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl Users {
    /// What a new data folder begins with: nobody if others are brought, as with RabbitMQ, since a user with a password that
    /// everybody knows would stay unnoticed. The error is for whoever configures.
    pub fn founding(&self, salt: Salt, others_are_brought: bool) -> Result<Access, String> {
        if others_are_brought {
            return Ok(Access::new(self.password_hashing));
        }
        let hash = PasswordHash::new(self.password_hashing, self.default_pass.0.as_bytes(), salt);
        let user = User::new(self.default_user.as_bytes(), hash, self.default_user_tags.clone())?;
        let permission = Permission::new(
            &self.default_permissions_configure,
            &self.default_permissions_write,
            &self.default_permissions_read,
        )?;
        Ok(Access::founded_by(user, self.default_vhost(), permission, self.password_hashing))
    }

    pub fn default_vhost(&self) -> Name {
        Name::from(self.default_vhost.as_bytes())
    }

    pub fn loopback_users(&self) -> Vec<Name> {
        let names = self.loopback_users.iter().filter(|name| *name != "none");
        names.map(|name| Name::from(name.as_bytes())).collect()
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Secret, Infallible> {
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// What stands in for a secret.
pub const HIDDEN: &str = "********";

/// By its whole name, which may be a module of RabbitMQ's, or the end of it.
fn algorithm(text: &str) -> Result<Algorithm, String> {
    let is_meant = |it: &Algorithm| it.name() == text || it.name().rsplit('_').next() == Some(text);
    let found = Algorithm::ALL.into_iter().find(is_meant);
    found.ok_or_else(|| "expected sha256, sha512, md5 or argon2id".to_owned())
}

fn tags(text: &str) -> Result<Tags, String> {
    if text == "none" { Ok(Tags::default()) } else { Tags::parse(text) }
}

fn pattern(text: &str) -> Result<String, String> {
    Pattern::new(text).map(|_| text.to_owned())
}

fn user(text: &str) -> Result<String, String> {
    let nobody = PasswordHash::nobody(Algorithm::default());
    User::new(text.as_bytes(), nobody, Tags::default()).map(|_| text.to_owned())
}

fn vhost(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX;
    fits.then(|| text.to_owned()).ok_or_else(|| format!("a vhost's name has 1 to {NAME_BYTES_MAX} bytes"))
}

/// It travels as a short string (AMQP 0-9-1 section 4.2.5.3).
const NAME_BYTES_MAX: usize = 255;
