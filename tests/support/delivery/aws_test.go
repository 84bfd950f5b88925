package delivery

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"gopkg.in/yaml.v3"
)

// Every document under deploy/aws, in the order in which the CloudFormation template holds them.
var awsDocuments = []string{
	"permissions-boundary", "operator-policy", "operator-policy-without-boundary", "operator-policy-adoption",
	"operator-policy-exclusive", "trust-policy-irsa", "trust-policy-pod-identity", "trust-policy-member-account",
}

func document(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return value
}

// scalars lists the JSON documents among a template's scalars.
func scalars(node *yaml.Node) []string {
	if node.Kind == yaml.ScalarNode && strings.HasPrefix(node.Value, "{") {
		return []string{node.Value}
	}
	var found []string
	for _, child := range node.Content {
		found = append(found, scalars(child)...)
	}
	return found
}

func TestCloudFormationHoldsTheSameDocuments(t *testing.T) {
	var template yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, "deploy/aws/cloudformation.yaml")), &template); err != nil {
		t.Fatal(err)
	}
	embedded := scalars(&template)
	if len(embedded) != len(awsDocuments) {
		t.Fatalf("the template has %d documents, want %d", len(embedded), len(awsDocuments))
	}
	for i, name := range awsDocuments {
		if !reflect.DeepEqual(document(t, embedded[i]), document(t, read(t, "deploy/aws/"+name+".json"))) {
			t.Errorf("cloudformation.yaml differs from %s.json", name)
		}
	}
}

// 6,144 characters without whitespace: IAM's limit for managed policies.
func TestPoliciesFitIntoIAM(t *testing.T) {
	fill := strings.NewReplacer("${Partition}", "aws-us-gov", "${AccountId}", "111122223333",
		"${IamPath}", "/aurora-log-export/", "${ClusterName}", strings.Repeat("c", 63),
		"${PermissionsBoundaryArn}", "arn:aws-us-gov:iam::111122223333:policy/aurora-log-export-boundary")
	for _, name := range awsDocuments[:5] {
		text := fill.Replace(read(t, "deploy/aws/"+name+".json"))
		if strings.Contains(text, "${") {
			t.Errorf("%s.json has a placeholder that the README does not list", name)
		}
		size := 0
		for _, char := range text {
			if !unicode.IsSpace(char) {
				size++
			}
		}
		if size > 6144 {
			t.Errorf("%s.json has %d characters", name, size)
		}
	}
}

// The module holds no document of its own: it fills the JSON files in, with a value for each of their placeholders.
func TestTerraformReadsTheSameDocuments(t *testing.T) {
	module := read(t, "deploy/aws/terraform/main.tf")
	for _, name := range awsDocuments {
		if !strings.Contains(module, name+".json\"") {
			t.Errorf("main.tf does not read %s.json", name)
		}
		rest := read(t, "deploy/aws/"+name+".json")
		for {
			_, after, found := strings.Cut(rest, "${")
			if !found {
				break
			}
			placeholder, tail, _ := strings.Cut(after, "}")
			set := false
			for _, line := range strings.Split(module, "\n") {
				key, _, isSet := strings.Cut(line, "=")
				set = set || (isSet && strings.HasSuffix(strings.TrimSpace(key), placeholder))
			}
			if !set {
				t.Errorf("main.tf has no value for ${%s} of %s.json", placeholder, name)
			}
			rest = tail
		}
	}
	for _, own := range []string{"Effect", "Principal", "Action", "Resource ", "Condition"} {
		if strings.Contains(module, own) {
			t.Errorf("main.tf holds a piece of a document: %s", own)
		}
	}
}
