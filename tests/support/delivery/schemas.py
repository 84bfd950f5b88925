"""Strict JSON schemas for kubeconform from a real API server, CRDs included, so that no schema is downloaded.

    kubectl get --raw /openapi/v2 | python3 schemas.py DIR
    kubeconform -strict -schema-location 'DIR/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json' FILE
"""

import json
import pathlib
import sys


def strict(schema):
    """The schema with unknown fields refused, unless it says that they are welcome."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"oneOf": [{"type": "string"}, {"type": "integer"}]}
    out = {}
    for key, value in schema.items():
        if key == "properties":
            # Its keys are names of fields, which may begin with x- themselves.
            out[key] = {name: strict(field) for name, field in value.items()}
        elif not key.startswith("x-"):
            out[key] = strict(value)
    if (
        isinstance(schema.get("properties"), dict)
        and "additionalProperties" not in schema
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        out["additionalProperties"] = False
    return out


def references(schema):
    """Names of the definitions that the schema refers to directly."""
    if isinstance(schema, list):
        for item in schema:
            yield from references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            # A CRD has a field of that name.
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix("#/definitions/")
            else:
                yield from references(value)


def reachable(name, definitions):
    """The definition and all that it needs."""
    found, todo = {}, [name]
    while todo:
        current = todo.pop()
        if current not in found:
            found[current] = definitions[current]
            todo.extend(references(definitions[current]))
    return found


def main(target):
    definitions = json.load(sys.stdin)["definitions"]
    kinds = {name: schema.get("x-kubernetes-group-version-kind", []) for name, schema in definitions.items()}
    definitions = {name: strict(schema) for name, schema in definitions.items()}
    # Quantities are written as numbers too.
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"oneOf": [{"type": "string"}, {"type": "number"}]}
    for name, group_version_kinds in kinds.items():
        # Options such as DeleteOptions belong to every group: no manifest is one.
        if len(group_version_kinds) != 1:
            continue
        (gvk,) = group_version_kinds
        # kubeconform takes "v1" for the group of the core kinds.
        path = pathlib.Path(target, gvk["group"] or gvk["version"], f"{gvk['kind'].lower()}_{gvk['version']}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = {"$ref": f"#/definitions/{name}", "definitions": reachable(name, definitions)}
        path.write_text(json.dumps(schema), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
