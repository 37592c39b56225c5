#!/bin/sh
# Makes the secrets of a new installation in ./secrets, one file each; existing ones are kept.
# Usage: deploy/make-secrets.sh [FOLDER [DATABASE_HOST]]
set -eu
umask 077
folder=${1:-secrets}
database_host=${2:-postgres}
mkdir -p "$folder"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
keep_or_make() { [ -s "$folder/$1" ] || printf '%s' "$2" >"$folder/$1"; }
sha256_of() { sha256sum <"$folder/$1" | cut -d' ' -f1; }

keep_or_make s3_access_key "dicomtools-$(random | cut -c1-12)"
keep_or_make s3_secret_key "$(random)"
# With a letter first: the NATS configuration takes digits for a number.
keep_or_make nats_password "n$(random)"
keep_or_make postgres_password "$(random)"
keep_or_make database_url \
    "postgresql://dicomtools:$(cat "$folder/postgres_password")@$database_host:5432/dicomtools"

# Callers of the HTTP interfaces: the services know of a token only its SHA-256.
keep_or_make http_token "$(random)"
keep_or_make monitor_token "$(random)"
keep_or_make http_tokens.toml "# More callers: name, SHA-256 of the token (printf %s \"\$TOKEN\" | sha256sum), roles: monitor,
# reader, retriever, exporter, admin. A service reads this once, at its start.
[tokens.administrator]
sha256 = \"$(sha256_of http_token)\"
roles = [\"admin\"]

[tokens.monitoring]
sha256 = \"$(sha256_of monitor_token)\"
roles = [\"monitor\"]"

# Of the pseudonyms in the audit trail: lost, what is written from now on has others.
keep_or_make audit_key "$(random)"

# Of anonymised exports: new UIDs, pseudonyms and shifts of dates. Another key makes other patients of the same.
keep_or_make deident.key "$(random)"

# Compose mounts the files as they are, and the containers run as another user than you: the files
# are readable, the folder around them is yours alone.
chmod 700 "$folder"
chmod 644 "$folder"/*
echo "The secrets are in $folder. Back audit_key and deident.key up where backups of the data are not."
echo "http_token may do everything, monitor_token read metrics: give them to who calls, the services need neither."
