// Package delivery holds the tests of deploy/: that what is written twice says the same, that chart and kustomize base
// render the same objects, that Argo CD's scripts judge as documented. Run by go test; go.mod also pins the tools that
// build.sh builds.
package delivery
