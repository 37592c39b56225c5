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

keep_or_make s3_access_key "dicomtools-$(random | cut -c1-12)"
keep_or_make s3_secret_key "$(random)"
# With a letter first: the NATS configuration takes digits for a number.
keep_or_make nats_password "n$(random)"
keep_or_make postgres_password "$(random)"
keep_or_make database_url \
    "postgresql://dicomtools:$(cat "$folder/postgres_password")@$database_host:5432/dicomtools"
keep_or_make http_token "$(random)"
keep_or_make http_token_sha256 "$(sha256sum <"$folder/http_token" | cut -d' ' -f1)"

# Compose mounts the files as they are, and the containers run as another user than you: the files
# are readable, the folder around them is yours alone.
chmod 700 "$folder"
chmod 644 "$folder"/*
echo "The secrets are in $folder. The services know only the SHA-256 of http_token;"
echo "keep http_token itself where callers of the HTTP interface find it."
