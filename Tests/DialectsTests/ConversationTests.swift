import Dialects
import ImageGeneration
import NIOCore
import Testing

/// Conversations as chat frontends and the AI SDK send them, and the rule that looks for a wish in them.
@Suite struct ConversationTests {
    static let dialects: [any Dialect] = [ChatDialect(), VercelUIDialect()]

    private static func decode(_ dialect: any Dialect, _ body: String) throws -> ImageRequest {
        try DialectDriving.decode(dialect, body).image
    }

    private static func lines(_ request: ImageRequest) -> [String] {
        request.messages.map { "\($0.role.rawValue): \($0.text)" }
    }

    @Test(arguments: dialects) func theLastMessageOfTheUserIsThePrompt(_ dialect: any Dialect) throws {
        let request = try Self.decode(
            dialect,
            """
            {"messages": [
              {"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hello"},
              {"role": "tool", "content": "7"}, {"role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
              {"role": "user", "content": [{"type": "text", "text": "Draw"}, {"type": "text", "text": "a lake"}, "now"]},
              {"role": "assistant", "content": "…"}]}
            """)
        #expect(request.prompt == "Draw\na lake\nnow")
        #expect(Self.lines(request) == ["system: Be kind.", "user: Hello", "assistant: Hi", "user: Draw\na lake\nnow"])
        #expect(request.operation == .generate && request.images.isEmpty)
    }

    @Test(arguments: dialects) func oneMessageIsNoConversation(_ dialect: any Dialect) throws {
        for body in [#"{"message": "a"}"#, #"{"prompt": "a"}"#, #"{"message": {"content": "a"}}"#] {
            let request = try Self.decode(dialect, body)
            #expect(request.prompt == "a" && request.messages.isEmpty)
        }
    }

    @Test(arguments: dialects) func picturesInTheLastMessageAreEdited(_ dialect: any Dialect) throws {
        let url = "data:image/png;base64,\(CanonicalJob.final)"
        for part in [
            #"{"type": "image_url", "image_url": {"url": "\#(url)"}}"#,
            #"{"type": "image_url", "image_url": "\#(url)"}"#,
            #"{"type": "input_image", "image_url": "\#(url)"}"#, #"{"type": "image", "image": "\#(url)"}"#,
            #"{"type": "file", "mediaType": "image/png", "url": "\#(url)"}"#,
        ] {
            let text = #"{"type": "text", "text": "bluer"}"#
            let request = try Self.decode(dialect, #"{"messages": [{"role": "user", "parts": [\#(part), \#(text)]}]}"#)
            #expect(request.operation == .edit && request.images.count == 1 && request.prompt == "bluer", "\(part)")
            #expect(request.messages.allSatisfy { $0.images.isEmpty })
        }
    }

    @Test(arguments: dialects) func whatWeShowedIsNotFetched(_ dialect: any Dialect) throws {
        let file = #"{"type": "file", "mediaType": "image/png", "url": "https://images.example/a.png"}"#
        let kept = #"{"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,\#(CanonicalJob.final)"}"#
        let request = try Self.decode(
            dialect,
            """
            {"messages": [{"role": "assistant", "parts": [\(file), \(kept), {"type": "data-image-status", "data": {}}]},
              {"role": "user", "parts": [{"type": "text", "text": "again"},
                {"type": "file", "mediaType": "text/plain", "url": "https://images.example/notes"}]}]}
            """)
        #expect(request.operation == .generate)
        #expect(request.messages.map(\.images.count) == [1, 0])
        let refused = DialectDriving.refusal(
            dialect, #"{"messages": [{"role": "user", "parts": [{"type": "text", "text": "x"}, \#(file)]}]}"#)
        #expect(refused?.code == .invalidParameter)
    }

    @Test func historyIsBounded() throws {
        let part = #"{"type": "image_url", "image_url": "data:image/png;base64,\#(CanonicalJob.final)"}"#
        let pictures = Array(repeating: part, count: 10).joined(separator: ",")
        let turn = #"{"role": "assistant", "content": [\#(pictures)]}"#
        let last = #"{"role": "user", "content": "x"}"#
        let request = try Self.decode(ChatDialect(), #"{"messages": [\#(turn), \#(turn), \#(turn), \#(last)]}"#)
        #expect(request.messages.map(\.images.count) == [0, 6, 10, 0])
        let many = Array(repeating: last, count: 501).joined(separator: ",")
        #expect(DialectDriving.refusal(ChatDialect(), #"{"messages": [\#(many)]}"#)?.parameter == "messages")
    }

    // MARK: Intent

    @Test(arguments: [
        "Draw me a lighthouse", "please create an image of a cat", "/imagine a cat",
        "Could you generate some pictures?",
        "Zeichne einen Leuchtturm", "Kannst du mir ein Bild von einem See erstellen?", "Dessine un mouton",
        "Crée une image d'un chat", "Dibújame un faro", "Haz una foto de un gato", "Disegna un faro",
        "Fammi un'immagine di un gatto", "Desenhe um farol", "Faça uma imagem de um gato", "Teken een vuurtoren",
        "Maak een afbeelding van een kat", "Narysuj latarnię", "Zrób obraz kota", "Нарисуй маяк",
        "Сделай картинку кота",
        "Bir deniz feneri çiz", "Bir kedi resmi oluştur", "画一只猫", "请生成一张猫的图片", "猫の画像を作って", "猫を描いて",
        "고양이 그려줘", "고양이 이미지 만들어줘",
    ]) func wantsAPicture(_ text: String) { #expect(PictureRule.wantsPicture(text)) }

    @Test(arguments: [
        "Hello", "What is the capital of France?", "What can be seen in this image?", "Make it shorter.",
        "Wie spät ist es?", "Was ist auf dem Bild zu sehen?", "Quelle heure est-il ?", "¿Qué hora es?", "Che ore sono?",
        "Que horas são?", "Hoe laat is het?", "Która godzina?", "Который час?", "Saat kaç?", "现在几点?", "今何時ですか",
        "지금 몇 시야?", "", "drawbridge imagery",
    ]) func wantsText(_ text: String) { #expect(!PictureRule.wantsPicture(text)) }
}
