//go:build square

package main

import (
	"os"

	"go.yaml.in/yaml/v3"
)

// configured returns the ids by file name of the file that PEER_CONFIG names, which is the config.yaml of Square's extension.
func configured() (map[string]string, error) {
	text, err := os.ReadFile(os.Getenv("PEER_CONFIG"))
	if err != nil {
		return nil, err
	}
	var file struct {
		SecretManagers []struct {
			Prefix  string
			Secrets []struct{ SecretName, FileName string }
		} `yaml:"SecretManagers"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, manager := range file.SecretManagers {
		for _, secret := range manager.Secrets {
			ids[secret.FileName] = manager.Prefix + secret.SecretName
		}
	}
	return ids, nil
}
