# frozen_string_literal: true

module Keystart
  # Says whether an error means that a server refused a login (contract §12). It knows drivers by name and loads none.
  module Rejections
    # What a server's refusals look like, whatever the driver. Words are sentences, with %s for what differs. They
    # decide for codes that also mean something else, and so do the server's routines.
    Server = Struct.new(:codes, :need_words, :routines, :words)
    # Where a driver's errors carry what a server said: paths, of which the first with a value counts.
    Driver = Struct.new(:server, :classes, :code, :routine, :words)
    private_constant :Server, :Driver

    DEPTH = 8 # limits.toml: attempt.causes
    LETTERS = 4096 # of a message
    private_constant :DEPTH, :LETTERS

    class << self
      # Returns :rejected or :locked if the error, or one of its causes, is a login that a server refused; else nil.
      #
      # `handled` is the error that the caller handles already. Ruby makes it the cause of every new one, so neither
      # it nor its causes count.
      def classify(error, handled = nil)
        verdicts = with_causes(error, handled).map { |each| verdict(each) }
        %i[locked rejected].find { |each| verdicts.include?(each) }
      end

      # Returns the error and its causes, without what the caller handles already.
      def with_causes(error, handled)
        errors = []
        while error && !error.equal?(handled) && errors.size <= DEPTH
          errors << error
          error = CAUSE.bind_call(error)
        end
        errors
      end

      private

      def verdict(error)
        names = error.class.ancestors.map { |each| NAME.bind_call(each) }
        DRIVERS.each do |driver|
          next if (driver.classes & names).empty?

          found = of_driver(error, driver)
          return found if found
        end
        nil
      end

      def of_driver(error, driver)
        server = SERVERS.fetch(driver.server)
        code = first(error, driver.code)
        return server.codes[code] if code && !server.need_words.include?(code)
        return :rejected if code && server.routines.include?(first(error, driver.routine))

        text = first(error, driver.words)
        text && sentences(driver.server).find { |_, pattern| pattern.match?(text) }&.first
      end

      # Returns the first text or number that is at one of the paths, as text.
      def first(error, paths)
        paths.each do |path|
          value = path.split(".").reduce(error) { |at, key| member(at, key) }
          return value.to_s if Integer === value
          return value.dup.force_encoding(Encoding::UTF_8).scrub[0, LETTERS] if String === value
        end
        nil
      end

      def member(value, key)
        case value
        when Hash then value[key.to_sym]
        else value.respond_to?(key) ? value.public_send(key) : nil
        end
      rescue StandardError # whatever a foreign class raises when one looks at it
        nil
      end

      # Returns the sentences of a server as one pattern for each verdict. They fill a line, or its end after a colon.
      def sentences(server)
        (@sentences ||= {})[server] ||= SERVERS.fetch(server).words.map do |verdict, texts|
          [verdict, /(?:^|:  )(?:#{texts.map { |text| Regexp.escape(text).gsub("%s", ".*") }.join("|")})$/]
        end
      end
    end

    CAUSE = Exception.instance_method(:cause)
    NAME = Module.instance_method(:name)
    # generated from contract/rejections.json: rules
    SERVERS = {
      "postgresql" => Server.new(
        {
          "28P01" => :rejected
        },
        %w[28000 08P01], ["InitializeSessionUserId"],
        {
          rejected: [
            "password authentication failed for user \"%s\"",
            "Passwort-Authentifizierung für Benutzer »%s« fehlgeschlagen",
            "la autentificación password falló para el usuario «%s»",
            "authentification par mot de passe échouée pour l'utilisateur  « %s »",
            "password gagal diotentikasi untuk pengguna  « %s »",
            "autenticazione con password fallita per l'utente \"%s\"",
            "ユーザ\"%s\"のパスワード認証に失敗しました",
            "ユーザー\"%s\"のパスワード認証に失敗しました",
            "პაროლით ავთენტიფიკაცია მომხმარებლისთვის \"%s\" ვერ მოხერხდა",
            "사용자 \"%s\"의 password 인증을 실패했습니다",
            "autoryzacja hasłem nie powiodła się dla użytkownika \"%s\"",
            "autenticação do tipo senha falhou para o usuário \"%s\"",
            "пользователь \"%s\" не прошёл проверку подлинности (по паролю)",
            "Lösenordsautentisering misslyckades för användare \"%s\"",
            "\"%s\" kullanıcısı için şifre doğrulaması başarısız oldu",
            "користувач \"%s\" не пройшов автентифікацію за допомогою пароля",
            "用户 \"%s\" Password 认证失败",
            "用户 \"%s\" 的密码认证失败",
            "密碼驗證使用者 \"%s\" 失敗",
            "role \"%s\" does not exist",
            "Rolle »%s« existiert nicht",
            "no existe el rol «%s»",
            "le rôle « %s » n'existe pas",
            "role « %s » tidak ada",
            "il ruolo \"%s\" non esiste",
            "ロール\"%s\"は存在しません",
            "როლი არ არსებობს: \"%s\"",
            "\"%s\" 롤(role) 없음",
            "rola \"%s\" nie istnieje",
            "role \"%s\" não existe",
            "роль \"%s\" не существует",
            "rollen \"%s\" finns inte",
            "\"%s\" rolü mevcut değil",
            "роль \"%s\" не існує",
            "角色 \"%s\" 不存在",
            "角色 \"%s\" 不存在",
            "role \"%s\" is not permitted to log in",
            "Rolle »%s« hat keine Berechtigung zum Einloggen",
            "al rol «%s» no se le permite conectarse",
            "le rôle « %s » n'est pas autorisé à se connecter",
            "role « %s » tidak diperbolehkan untuk log in",
            "al ruolo \"%s\" non è consentito effettuare il login",
            "ロール\"%s\"はログインが許可されません",
            "როლს შესვლის უფლება არ აქვს: %s",
            "\"%s\" 롤은 접속을 허용하지 않음",
            "rola \"%s\" nie zezwala na logowanie",
            "role \"%s\" não tem permissão para entrar",
            "для роли \"%s\" вход запрещён",
            "roll \"%s\" tillåts inte logga in",
            " \"%s\" rolünun sisteme giriş hakkı yoktur",
            "для ролі \"%s\" вхід не дозволений",
            "不允许角色\"%s\" 进行登录",
            "不允许角色 \"%s\" 进行登录",
            "不允許角色 \"%s\" 登入",
            "LDAP authentication failed for user \"%s\"",
            "LDAP-Authentifizierung für Benutzer »%s« fehlgeschlagen",
            "la autentificación LDAP falló para el usuario «%s»",
            "authentification LDAP échouée pour l'utilisateur « %s »",
            "LDAP gagal diotentikasi untuk pengguna « %s »",
            "autenticazione LDAP fallita per l'utente \"%s\"",
            "Autenticazione LDAP fallita per l'utente \"%s\"",
            "ユーザ\"%s\"のLDAP認証に失敗しました",
            "ユーザー\"%s\"のLDAP認証に失敗しました",
            "LDAP ავთენტიფიკაცია მომხმარებლისთვის \"%s\" ვერ მოხერხდა",
            "\"%s\" 사용자의 LDAP 인증을 실패했습니다.",
            "Autoryzacja LDAP nie powiodła się dla użytkownika \"%s\"",
            "autenticação do tipo LDAP falhou para o usuário \"%s\"",
            "пользователь \"%s\" не прошёл проверку подлинности (LDAP)",
            "LDAP-autentisering misslyckades för användare \"%s\"",
            "\"%s\" kullanıcısı için LDAP kimlik doğrulaması başarısız",
            "Користувач \"%s\" не пройшов автентифікацію LDAP",
            "对于用户 \"%s\"的LDAP认证失败",
            "用户 \"%s\" 的 LDAP 认证失败",
            "LDAP 驗證使用者 \"%s\" 失敗",
            "PAM authentication failed for user \"%s\"",
            "PAM-Authentifizierung für Benutzer »%s« fehlgeschlagen",
            "la autentificación PAM falló para el usuario «%s»",
            "authentification PAM échouée pour l'utilisateur « %s »",
            "PAM gagal di otentikasi untuk pengguna « %s »",
            "autenticazione PAM fallita per l'utente \"%s\"",
            "Autenticazione PAM fallita per l'utente \"%s\"",
            "ユーザ\"%s\"のPAM認証に失敗しました",
            "ユーザー\"%s\"のPAM認証に失敗しました",
            "PAM ავთენტიფიკაცია მომხმარებლისთვის \"%s\" ვერ მოხერხდა",
            "사용자 \"%s\"의 PAM 인증을 실패했습니다.",
            "Autoryzacja PAM nie powiodła się dla użytkownika \"%s\"",
            "autenticação do tipo PAM falhou para o usuário \"%s\"",
            "пользователь \"%s\" не прошёл проверку подлинности (PAM)",
            "PAM-autentisering misslyckades för användare \"%s\"",
            "\"%s\" kullanıcısı için PAM kimlik doğrulaması başarısız oldu",
            "Користувач \"%s\" не пройшов автентифікацію PAM",
            "用户 \"%s\" 认证 PAM 失败",
            "用户 \"%s\" 的 PAM 认证失败",
            "PAM 驗證使用者 \"%s\" 失敗",
            "RADIUS authentication failed for user \"%s\"",
            "RADIUS-Authentifizierung für Benutzer »%s« fehlgeschlagen",
            "la autentificación RADIUS falló para el usuario «%s»",
            "authentification RADIUS échouée pour l'utilisateur « %s »",
            "RADIUS gagal di otentikasi untuk pengguna « %s »",
            "autenticazione RADIUS fallita per l'utente \"%s\"",
            "Autenticazione RADIUS fallita per l'utente \"%s\"",
            "ユーザ\"%s\"の RADIUS 認証に失敗しました",
            "ユーザー\"%s\"の RADIUS 認証に失敗しました",
            "რადიუსით ავთენტიფიკაცია მომხმარებლისთვის \"%s\" ვერ მოხერხდა",
            "사용자 \"%s\"의 RADIUS 인증을 실패했습니다.",
            "autoryzacja RADIUS nie powiodła się dla użytkownika \"%s\"",
            "autenticação do tipo RADIUS falhou para o usuário \"%s\"",
            "пользователь \"%s\" не прошёл проверку подлинности (RADIUS)",
            "RADOUS-autentisering misslyckades för användare \"%s\"",
            "\"%s\" kullanıcısı için RADIUS kimlik doğrulaması başarısız oldu",
            "Користувач \"%s\" не пройшов автентифікацію RADIUS",
            "用户 \"%s\" 的RADIUS认证失败",
            "用户 \"%s\" 的 RADIUS 认证失败",
            "RADIUS 驗證使用者 \"%s\" 失敗",
            "BSD authentication failed for user \"%s\"",
            "BSD-Authentifizierung für Benutzer »%s« fehlgeschlagen",
            "la autentificación BSD falló para el usuario «%s»",
            "authentification BSD échouée pour l'utilisateur « %s »",
            "autenticazione BSD fallita per l'utente \"%s\"",
            "Autenticazione BSD fallita per l'utente \"%s\"",
            "ユーザ\"%s\"のBSD認証に失敗しました",
            "ユーザー\"%s\"のBSD認証に失敗しました",
            "BSD ავთენტიფიკაცია მომხმარებლისთვის \"%s\" ვერ მოხერხდა",
            "\"%s\" 사용자에 대한 BSD 인증을 실패했습니다.",
            "Autoryzacja BSD nie powiodła się dla użytkownika \"%s\"",
            "a autenticação BSD falhou para o usuário \"%s\"",
            "пользователь \"%s\" не прошёл проверку подлинности (BSD)",
            "BSD-autentisering misslyckades för användare \"%s\"",
            "\"%s\" kullanıcısı için BSD kimlik doğrulaması başarısız oldu",
            "Користувач \"%s\" не пройшов автентифікацію BSD",
            "对于用户 \"%s\" 的 BSD 认证失败",
            "用户 \"%s\" 的 BSD 认证失败",
            "BSD 驗證使用者 \"%s\" 失敗",
            "The password that was provided for the role %s is wrong.",
            "This RDS proxy has no credentials for the role %s. Check the credentials for this role and try again.",
            "SASL authentication failed",
            "password authentication failed"
          ]
        }
      ),
      "mysql" => Server.new(
        {
          "1045" => :rejected,
          "1698" => :rejected,
          "3118" => :locked,
          "3955" => :locked,
          "4150" => :locked,
          "4151" => :locked
        },
        [], [],
        {}
      ),
      "redis" => Server.new(
        {},
        [], [],
        {
          rejected: [
            "WRONGPASS %s",
            "invalid username-password pair or user is disabled.%s",
            "ERR invalid password",
            "invalid password"
          ]
        }
      ),
      "oracle" => Server.new(
        {
          "1017" => :rejected,
          "ORA-01017" => :rejected,
          "28000" => :locked,
          "ORA-28000" => :locked
        },
        [], [],
        {}
      ),
      "sqlserver" => Server.new(
        {
          "18456" => :rejected,
          "18486" => :locked
        },
        %w[ELOGIN 28000], [],
        {
          locked: [
            "%sLogin failed for user '%s' because the account is currently locked out.%s"
          ],
          rejected: [
            "%sLogin failed for user '%s'.%s"
          ]
        }
      ),
      "mongodb" => Server.new(
        {
          "18" => :rejected,
          "AuthenticationFailed" => :rejected
        },
        %w[8000 AtlasError], [],
        {
          rejected: [
            "bad auth : Authentication failed%s",
            "bad auth : authentication failed%s",
            "bad auth Authentication failed%s",
            "User %s is not authorized to access %s: bad auth : Authentication failed%s",
            "User %s is not authorized to access %s: bad auth : authentication failed%s",
            "User %s is not authorized to access %s: Authentication failed. (18: AuthenticationFailed)%s",
            "Authentication failed."
          ]
        }
      ),
      "http" => Server.new(
        {
          "401" => :rejected
        },
        [], [],
        {}
      )
    }.freeze
    DRIVERS = [
      # pg
      Driver.new("postgresql", ["PG::ConnectionBad"], [], [], ["message"]),
      # mysql2
      Driver.new("mysql", ["Mysql2::Error"], ["error_number"], [], []),
      # trilogy
      Driver.new("mysql", ["Trilogy::Error"], ["error_code"], [], []),
      # redis
      Driver.new("redis", ["Redis::BaseError"], [], [], ["message"]),
      # redis-client
      Driver.new("redis", ["RedisClient::Error"], [], [], ["message"]),
      # ruby-oci8
      Driver.new("oracle", ["OCIError"], ["code"], [], []),
      # tiny_tds
      Driver.new("sqlserver", ["TinyTds::Error"], ["db_error_number"], [], []),
      # mongo
      Driver.new("mongodb", %w[Mongo::Error::OperationFailure Mongo::Auth::Unauthorized], ["code"], [], ["message"]),
      # net-http
      Driver.new("http", %w[Net::HTTPClientException Net::HTTPServerException], ["response.code"], [], []),
      # faraday
      Driver.new("http", ["Faraday::Error"], ["response.status"], [], [])
    ].freeze
    # end of generated
    private_constant :CAUSE, :NAME, :SERVERS, :DRIVERS
  end
  private_constant :Rejections
end
