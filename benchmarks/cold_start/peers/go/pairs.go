//go:build !yaml && !square

package main

import (
	"os"
	"strings"
)

// configured gives the ids of PEER_SECRETS (`name=id`, separated by commas) by their names.
func configured() (map[string]string, error) {
	ids := map[string]string{}
	for _, pair := range strings.Split(os.Getenv("PEER_SECRETS"), ",") {
		name, id, _ := strings.Cut(pair, "=")
		ids[name] = id
	}
	return ids, nil
}
