# What an AWS user types every day, with dev.env sourced: $1 is dev.env, $2 the Region, $3 a name. Works in an empty folder.
set -eu
set -a
. "$1"
set +a
AWS_REGION=$2
AWS_DEFAULT_REGION=$2

printf '다람쥐 헌 쳇바퀴에 타고파 — 열쇠는 하드웨어 안에 있다.' >sentence
key=$(aws kms create-key --description "$3" --query KeyMetadata.KeyId --output text)
aws kms create-alias --alias-name "alias/$3" --target-key-id "$key"

aws kms encrypt --key-id "alias/$3" --plaintext fileb://sentence --encryption-context purpose=everyday \
  --query CiphertextBlob --output text | base64 -d >sentence.enc
aws kms decrypt --ciphertext-blob fileb://sentence.enc --encryption-context purpose=everyday \
  --query Plaintext --output text | base64 -d >sentence.dec

aws kms generate-data-key --key-id "alias/$3" --key-spec AES_256 --query '[Plaintext,CiphertextBlob]' --output text >pair
cut -f1 pair >plain.key
cut -f2 pair | base64 -d >data.key
rm pair
openssl enc -aes-256-cbc -pbkdf2 -pass file:plain.key -in sentence -out sentence.local
rm plain.key

aws kms decrypt --ciphertext-blob fileb://data.key --query Plaintext --output text >plain.key
openssl enc -d -aes-256-cbc -pbkdf2 -pass file:plain.key -in sentence.local -out sentence.read
rm plain.key
echo "$key"
