package import ImageGeneration

/// Whether a message asks for a picture, by words: `"intent": "rule"`. The lists are those of `docs/dialects/chat.md`.
///
/// A picture is wanted if the message comes with a picture, begins with a command, has a word that means drawing, or has
/// both a word for making and a word for a picture. Words are compared whole and in lower case; `zeichn*` is every word
/// that begins so. Chinese, Japanese and Korean have no spaces to tell words by, so there parts of the text are compared.
package enum PictureRule {
    /// Unicode scalars that are looked at.
    private static let length = 4000

    package static func wantsPicture(_ request: ImageRequest) -> Bool {
        request.operation == .edit || !request.images.isEmpty || self.wantsPicture(request.prompt)
    }

    package static func wantsPicture(_ text: String) -> Bool {
        let head = String(String.UnicodeScalarView(text.unicodeScalars.prefix(self.length))).lowercased()
        if self.commands.contains(where: { head.hasPrefix($0) }) { return true }
        let words = head.split { !$0.isLetter }
        if words.contains(where: { self.drawing.matches($0) }) { return true }
        if self.drawingParts.contains(where: { head.contains($0) }) { return true }
        if words.contains(where: { self.making.matches($0) }), words.contains(where: { self.pictures.matches($0) }) {
            return true
        }
        return self.makingParts.contains { head.contains($0) } && self.pictureParts.contains { head.contains($0) }
    }

    private struct WordList: Sendable {
        private let whole: Set<Substring>
        private let beginnings: [Substring]

        init(_ lists: String...) {
            let words = lists.flatMap { $0.split(separator: " ") }
            self.whole = Set(words.filter { !$0.hasSuffix("*") })
            self.beginnings = words.filter { $0.hasSuffix("*") }.map { $0.dropLast() }
        }

        func matches(_ word: Substring) -> Bool {
            self.whole.contains(word) || self.beginnings.contains { word.hasPrefix($0) }
        }
    }

    private static let commands = ["/image", "/imagine", "/draw", "/picture", "/img", "/bild", "/dessin"]

    /// Each means a picture by itself.
    private static let drawing = WordList(
        "draw sketch paint illustrate doodle",
        "zeichne zeichnen zeichnest male malen skizzier* illustrier*",
        "dessine dessiner dessinez peins peindre peignez illustre illustrer",
        "dibuja dibujar dibuje dibujes dibújame pinta pintar ilustra ilustrar",
        "disegna disegnare disegnami dipingi dipingere illustra illustrare",
        "desenha desenhar desenhe desenhes pinte ilustre",
        "teken tekenen schilder schilderen schets",
        "narysuj narysować rysuj namaluj namalować naszkicuj",
        "нарисуй нарисуйте рисуй нарисовать изобрази изобразите",
        "çiz çizin çizer çizebilir")

    private static let making = WordList(
        "create make generate produce render design show give imagine visualize visualise want need",
        "erstell* erzeug* generier* mach mache machen gestalte* entwirf zeig zeige zeigen gib will möchte brauche",
        "crée créer créez génère générer générez fais faire faites montre montrez donne veux voudrais imagine",
        "crea crear cree créame genera generar genere haz hazme hacer muestra muéstrame dame quiero imagina",
        "creare creami generare generami fai fammi mostra mostrami voglio vorrei immagina",
        "cria criar crie gera gerar gere faz faça fazer mostra mostre quero imagine",
        "maak maken genereer genereren creëer toon laat ontwerp wil",
        "stwórz utwórz wygeneruj zrób pokaż zaprojektuj chcę",
        "создай создайте сделай сделайте сгенерируй сгенерируйте покажи покажите придумай хочу",
        "oluştur üret yap göster tasarla istiyorum")

    private static let pictures = WordList(
        "image images picture pictures photo photos photograph drawing painting illustration logo icon poster wallpaper",
        "bild bilder bildes foto fotos zeichnung gemälde grafik illustration plakat",
        "image images photo photos dessin illustration tableau affiche",
        "imagen imágenes foto fotos fotografía dibujo ilustración cuadro cartel",
        "immagine immagini foto disegno illustrazione quadro",
        "imagem imagens foto fotos desenho ilustração",
        "afbeelding afbeeldingen plaatje plaatjes tekening foto illustratie",
        "obraz obrazek obrazy zdjęcie rysunek ilustrację ilustracja",
        "картинку картинка картинки изображение изображения рисунок фото иллюстрацию иллюстрация",
        "resim resmi resmini görsel görseli fotoğraf çizim")

    private static let drawingParts = [
        "画一", "画个", "画张", "画幅", "画出", "畫一", "畫個", "畫張", "畫幅", "绘制", "繪製", "描いて", "描く", "イラスト化", "그려",
    ]
    private static let makingParts = [
        "生成", "制作", "製作", "创建", "創建", "做一", "设计", "設計", "作って", "作成", "見せて", "만들", "생성", "보여",
    ]
    private static let pictureParts = [
        "图片", "圖片", "图像", "圖像", "照片", "插画", "插畫", "海报", "海報", "画像", "絵", "イラスト", "写真", "그림", "이미지", "사진",
    ]
}
