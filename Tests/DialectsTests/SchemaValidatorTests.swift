import GatewayTesting
import Testing

/// The judge is judged: a validator that lets everything pass would prove nothing.
@Suite struct SchemaValidatorTests {
    @Test(arguments: [
        (#"{"type": "integer"}"#, "1", true), (#"{"type": "integer"}"#, "1.5", false),
        (#"{"type": "integer"}"#, "true", false),
        (#"{"type": ["integer", "null"]}"#, "null", true), (#"{"type": "boolean"}"#, "0", false),
        (#"{"const": "a"}"#, "\"a\"", true), (#"{"const": 1}"#, "true", false), (#"{"enum": ["a", 2]}"#, "2", true),
        (#"{"enum": ["a", 2]}"#, "3", false), (#"{"required": ["a"]}"#, "{}", false),
        (#"{"properties": {"a": {"type": "string"}}, "additionalProperties": false}"#, #"{"a": "x"}"#, true),
        (#"{"properties": {"a": {"type": "string"}}, "additionalProperties": false}"#, #"{"b": 1}"#, false),
        (#"{"properties": {"a": {"type": "string"}}}"#, #"{"a": 1}"#, false),
        (#"{"pattern": "^a+$"}"#, "\"aa\"", true), (#"{"pattern": "^a+$"}"#, "\"ab\"", false),
        (#"{"pattern": "^[A-Za-z0-9+/]+={0,2}$"}"#, "\"aGk=\"", true),
        (#"{"pattern": "^[A-Za-z0-9+/]+={0,2}$"}"#, "\"a=Gk\"", false),
        (#"{"pattern": "^[A-Za-z0-9+/]+={0,2}$"}"#, "\"===\"", false),
        (#"{"minimum": 1, "maximum": 2}"#, "2", true), (#"{"minimum": 1, "maximum": 2}"#, "3", false),
        (#"{"items": {"type": "string"}, "minItems": 1}"#, #"["a"]"#, true),
        (#"{"items": {"type": "string"}, "minItems": 1}"#, "[]", false),
        (#"{"items": {"type": "string"}}"#, "[1]", false),
        (#"{"oneOf": [{"type": "string"}, {"const": 1}]}"#, "1", true),
        (#"{"oneOf": [{"type": "number"}, {"const": 1}]}"#, "1", false),
        (##"{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}"##, "1", false),
        (##"{"$ref": "#/$defs/b", "$defs": {"a": {}}}"##, "1", false), ("true", "1", true), ("false", "1", false),
        ("{}", "{", false), (#"{"minLength": 2}"#, "\"a\"", false),
    ])
    func judges(_ schema: String, _ document: String, _ isValid: Bool) throws {
        let validator = try SchemaValidator(schema: Array(schema.utf8))
        let problems = validator.problems(in: document.utf8)
        #expect(problems.isEmpty == isValid, "\(schema) \(document): \(problems)")
    }

    @Test func refusesUnknownKeywords() {
        for schema in [
            #"{"uniqueItems": true}"#, #"{"properties": {"a": {"format": "uri"}}}"#, #"{"oneOf": [{"not": {}}]}"#,
        ] {
            #expect(throws: SchemaValidator.SchemaError.self) { try SchemaValidator(schema: Array(schema.utf8)) }
        }
    }
}
