#!/bin/bash
# What a server can be asked, with curl. Start one first:  groupvit serve
#
#   examples/serve/curl.sh [http://127.0.0.1:8080] [park.jpg]

set -euo pipefail
url=${1:-http://127.0.0.1:8080}
picture=${2:-$(dirname "$0")/../sample.jpg}
# A server with a token: curl reads the header from a file, so that no list of processes shows it.
#   curl -H @token.txt ...        with the line "Authorization: Bearer <token>" in token.txt
curl=(curl --silent --show-error --fail-with-body)

echo "Masks as JSON"
"${curl[@]}" -F picture=@"$picture" -F labels="tree, house, sun" "$url/v1/segment" | cut -c 1-150

echo "The mask as an indexed PNG, its values named in a header"
"${curl[@]}" -F picture=@"$picture" -F labels="tree, house, sun" \
  -H "Accept: image/png" -D headers.txt -o mask.png "$url/v1/segment"
grep -i "^x-labels:" headers.txt

echo "The picture with the mask over it; the picture itself is the body"
"${curl[@]}" --data-binary @"$picture" -H "Content-Type: image/jpeg" \
  -H "Accept: image/png; view=overlay" -o overlay.png "$url/v1/segment?labels=tree,house,sun"

echo "Keep the picture, then label it anew without an upload"
id=$("${curl[@]}" -F picture=@"$picture" -F labels="tree" -F keep=true "$url/v1/segment" |
  sed 's/.*"picture_id":"\([^"]*\)".*/\1/')
"${curl[@]}" --json "{\"picture_id\": \"$id\", \"labels\": [\"grass, meadow\", \"sky\"]}" \
  "$url/v1/segment" | cut -c 1-150

echo "Store a vocabulary, use it, delete it"
"${curl[@]}" --json '{"name": "outdoor", "labels": "tree; house, hut; sun", "background_words": "sky"}' \
  "$url/v1/vocabularies"
echo
"${curl[@]}" -F picture=@"$picture" -F vocabulary=outdoor "$url/v1/segment" | cut -c 1-150
"${curl[@]}" -X DELETE "$url/v1/vocabularies/outdoor"

echo "Rank words for the picture as a whole"
"${curl[@]}" -F picture=@"$picture" -F labels="a tree, a house, the sun" "$url/v1/classify"
echo

echo "How the model groups the picture"
"${curl[@]}" -F picture=@"$picture" -H "Accept: image/png" -o groups.png "$url/v1/groups"

echo "Vectors of texts"
"${curl[@]}" --json '{"texts": ["a dog in a park"]}' "$url/v1/embed" | cut -c 1-100

echo "How the server is"
"${curl[@]}" "$url/readyz"
echo
"${curl[@]}" "$url/v1/models"
echo
"${curl[@]}" "$url/metrics" | grep -c "^groupvit_"
