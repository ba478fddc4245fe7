import ImageGeneration
import NIOCore
import StreamCodecs

extension MultipartFormWriter {
    /// Writes a picture as a file whose name ends as its type asks.
    /// - Throws: where the picture is only referred to, which a form cannot say.
    mutating func append(
        _ image: InputImage, name: String, fileName: String, parameter: String
    ) throws(GatewayError) {
        let bytes: ByteBuffer
        switch image.content {
        case .bytes(let given): bytes = given
        case .base64(let text):
            do { bytes = try Base64.decode(text) } catch {
                throw GatewayError(.invalidParameter, "The picture is not valid base64.", parameter: parameter)
            }
        case .url, .fileID:
            throw GatewayError(
                .unsupportedParameter, "This upstream takes pictures only with the request, not by reference.",
                parameter: parameter)
        }
        let type = InputMediaType.of(image, bytes: bytes)
        self.append(
            name: name, fileName: "\(fileName).\(InputMediaType.fileExtension(of: type))", contentType: type,
            body: bytes)
    }
}
