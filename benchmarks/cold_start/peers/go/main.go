// A Go extension as one writes it: fetches its secrets in parallel with AWS's SDK, writes each to a file, registers
// afterwards, so that the runtime starts when they are there, and waits. What Keystart is measured beside.
package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

func main() {
	if err := fetch(context.Background()); err != nil {
		log.Fatal(err)
	}
	identifier := call("POST", "register", "", `{"events": ["SHUTDOWN"]}`)
	call("GET", "event/next", identifier, "")
}

// fetch writes each secret that is configured to a file of its name below PEER_DIR.
func fetch(ctx context.Context) error {
	ids, err := configured()
	if err != nil {
		return err
	}
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := secretsmanager.NewFromConfig(settings)
	root := os.Getenv("PEER_DIR")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	failures := make(chan error, len(ids))
	var group sync.WaitGroup
	for name, id := range ids {
		group.Add(1)
		go func() {
			defer group.Done()
			answer, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
			if err == nil {
				err = os.WriteFile(filepath.Join(root, name), []byte(*answer.SecretString), 0o600)
			}
			if err != nil {
				failures <- err
			}
		}()
	}
	group.Wait()
	close(failures)
	return <-failures
}

func call(method, path, identifier, body string) string {
	url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2020-01-01/extension/" + path
	request, err := http.NewRequest(method, url, bytes.NewBufferString(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Lambda-Extension-Name", filepath.Base(os.Args[0]))
	request.Header.Set("Lambda-Extension-Identifier", identifier)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		log.Fatal(err)
	}
	return answer.Header.Get("Lambda-Extension-Identifier")
}
